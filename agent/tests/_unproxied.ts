/** What a program that knows no proxy tries; each line of the answer is curl(1)'s status. */

/** 6: the name cannot be resolved; 7: it cannot be connected to; 52, 56: reset; 28 would be the time. */
export const UNPROXIED = `before=$SECONDS
try() { curl -sS --noproxy '*' --max-time 20 "$2" || echo "$1 $?"; }
try name http://forge.example:8443/
try address http://93.184.215.14/
try unknown http://nowhere.test/
try IPv6 'http://[2606:4700::1111]/'
echo "it took $((SECONDS - before)) s"`;
