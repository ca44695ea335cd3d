/**
 * Reads workflow commands from lines of output, with GitHub's escaping rules
 * ("Workflow commands for GitHub Actions"; `ActionCommand.cs` of its runner). Pure; decides nothing.
 *
 *     ::name key=value,key=value::data          and the older    ##[name key=value;key=value]data
 */
export type Command = {
  /** Lower case: names are case-insensitive. */
  name: string;
  /** Keys in lower case. */
  properties: Map<string, string>;
  data: string;
};

export const COMMAND_NAMES = new Set([
  'add-mask',
  'add-matcher',
  'add-path',
  'debug',
  'echo',
  'endgroup',
  'error',
  'group',
  'notice',
  'remove-matcher',
  'save-state',
  'set-env',
  'set-output',
  'stop-commands',
  'warning',
]);

const ESCAPES: Record<string, string> = {
  '%0D': '\r',
  '%0A': '\n',
  '%25': '%',
  '%3A': ':',
  '%2C': ',',
  '%3B': ';',
  '%5D': ']',
};
const unescapeBy = (pattern: RegExp) => (text: string) =>
  text.includes('%') ? text.replace(pattern, (code) => ESCAPES[code] ?? code) : text;
const unescapeData = unescapeBy(/%(?:0D|0A|25)/g);
const unescapeProperty = unescapeBy(/%(?:0D|0A|25|3A|2C)/g);
const unescapeOld = unescapeBy(/%(?:0D|0A|25|3B|5D)/g);

function readProperties(
  text: string,
  separator: string,
  unescapeValue: (text: string) => string,
): Map<string, string> {
  const properties = new Map<string, string>();
  for (const part of text.split(separator)) {
    const at = part.indexOf('=');
    // A blank is part of a key; what has no key or no value is no property.
    if (at <= 0 || at === part.length - 1) continue;
    properties.set(part.slice(0, at).toLowerCase(), unescapeValue(part.slice(at + 1)));
  }
  return properties;
}

/** The head `name properties` of a command, or undefined if the name is not known. */
function readHead(head: string, isKnown: (name: string) => boolean): [string, string] | undefined {
  const space = head.indexOf(' ');
  const name = space < 0 ? head : head.slice(0, space);
  if (!isKnown(name.toLowerCase())) return undefined;
  return [name.toLowerCase(), space < 0 ? '' : head.slice(space + 1)];
}

/** `::name key=value::data` at the beginning of the line. */
function parseNewer(line: string, isKnown: (name: string) => boolean): Command | undefined {
  const text = line.trimStart();
  const end = text.startsWith('::') ? text.indexOf('::', 2) : -1;
  const head = end < 0 ? undefined : readHead(text.slice(2, end), isKnown);
  if (head === undefined) return undefined;
  return {
    name: head[0],
    properties: readProperties(head[1].trim(), ',', unescapeProperty),
    data: unescapeData(text.slice(end + 2)),
  };
}

/** `##[name key=value]data` behind any text: the first place in the line that looks like it counts. */
function parseOlder(line: string, isKnown: (name: string) => boolean): Command | undefined {
  const begin = line.indexOf('##[');
  const end = begin < 0 ? -1 : line.indexOf(']', begin);
  const head = end < 0 ? undefined : readHead(line.slice(begin + 3, end), isKnown);
  if (head === undefined) return undefined;
  return {
    name: head[0],
    properties: readProperties(head[1], ';', unescapeOld),
    data: unescapeOld(line.slice(end + 1)),
  };
}

/** Undefined: the line is text. `isKnown` gets the name in lower case. */
export function parseCommand(
  line: string,
  isKnown: (name: string) => boolean = (name) => COMMAND_NAMES.has(name),
): Command | undefined {
  return parseNewer(line, isKnown) ?? parseOlder(line, isKnown);
}
