/**
 * The order of Debian's package versions, by the algorithm of Debian policy 5.6.12 (deb-version(7)):
 * `[epoch:]upstream[-revision]`; parts without digits and numbers in turn, `~` before everything, even
 * the end, and letters before all other characters. A test holds it against dpkg itself.
 */

/** Negative: a is older than b; 0: they are the same version; positive: a is newer. */
export function compareDebianVersions(a: string, b: string): number {
  const [left, right] = [split(a), split(b)];
  return (
    compareNumbers(left.epoch, right.epoch) ||
    compareParts(left.upstream, right.upstream) ||
    compareParts(left.revision, right.revision)
  );
}

function split(version: string): { epoch: string; upstream: string; revision: string } {
  const colon = version.indexOf(':');
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  return {
    epoch: colon < 0 ? '0' : version.slice(0, colon),
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? '' : rest.slice(dash + 1),
  };
}

const PART = /^(\D*)(\d*)(.*)$/s;

function compareParts(a: string, b: string): number {
  let [left, right] = [a, b];
  while (left !== '' || right !== '') {
    const [, leftText = '', leftNumber = '', leftRest = ''] = PART.exec(left) ?? [];
    const [, rightText = '', rightNumber = '', rightRest = ''] = PART.exec(right) ?? [];
    const order = compareTexts(leftText, rightText) || compareNumbers(leftNumber, rightNumber);
    if (order !== 0) return order;
    [left, right] = [leftRest, rightRest];
  }
  return 0;
}

/** Numbers of any length; none is 0. */
function compareNumbers(a: string, b: string): number {
  const [left, right] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
  if (left.length !== right.length) return left.length - right.length;
  return left < right ? -1 : left > right ? 1 : 0;
}

function compareTexts(a: string, b: string): number {
  for (let at = 0; at < a.length || at < b.length; at += 1) {
    const order = weightAt(a, at) - weightAt(b, at);
    if (order !== 0) return order;
  }
  return 0;
}

/** `~`, the end, letters, everything else. */
function weightAt(text: string, at: number): number {
  const char = text[at];
  if (char === undefined) return 0;
  if (char === '~') return -1;
  const code = char.charCodeAt(0);
  return /[A-Za-z]/.test(char) ? code : code + 256;
}
