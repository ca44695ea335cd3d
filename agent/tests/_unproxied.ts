/** What a program that knows no proxy tries; each line of the answer is curl(1)'s status. */

/** 6: the name cannot be resolved; 7: it cannot be connected to; 52, 56: reset; 28 would be the time. */
export const UNPROXIED = `before=$SECONDS
try() { curl -sS --noproxy '*' --max-time 20 "$2" || echo "$1 $?"; }
try name http://forge.example:8443/
try address http://93.184.215.14/
try unknown http://nowhere.test/
try own "http://$(hostname):9/"
try IPv6 'http://[2606:4700::1111]/'
echo "it took $((SECONDS - before)) s"`;

/** The program that accepts for the runner is killed, and another one does; the runner itself goes on. */
export const UNPROXIED_AGAIN = `pkill -9 -x steer && echo killed
for again in 1 2 3 4 5 6 7 8; do
  sleep 0.5
  curl -sS --noproxy '*' --max-time 20 http://later.example/ && break
  test $? = 7 || break
done`;
