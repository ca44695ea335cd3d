/**
 * Reports of proofs, signed. A report is JSON with sorted keys and without blanks (the canonical form),
 * so that everybody signs and checks the same bytes; the signature is beside it in the same file.
 *
 * What a signature proves: that nobody changed the report since this key signed it. Not that the host
 * told the truth, nor whose key it is: compare the fingerprint with what the host's owner gave you.
 */
import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { NETWORK_MODES } from '@onejob/protocol';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { ATTACK_CLASSES } from './attack.ts';
import { ProveError } from './errors.ts';
import { SUBJECTS, VERDICTS, countVerdicts } from './judge.ts';
import { REPORT_BYTES } from './limits.ts';

export const REPORT_VERSION = 1;
const DEPTH = 16;
const closed = { additionalProperties: false } as const;
const Text = Type.String({ maxLength: 2000 });
const Count = Type.Integer({ minimum: 0 });
const Outcome = Type.Enum(['through', 'stopped', 'not tried']);

const FindingSchema = Type.Object(
  {
    id: Type.String({ pattern: '^[a-z0-9-]{1,64}$' }),
    class: Type.Enum([...ATTACK_CLASSES]),
    /** Whose defence it was on; older reports do not say it. */
    subject: Type.Optional(Type.Enum([...SUBJECTS])),
    title: Text,
    expected: Text,
    observed: Text,
    verdict: Type.Enum([...VERDICTS]),
    control: Type.Object({ how: Text, outcome: Outcome, observed: Text }, closed),
  },
  closed,
);

const ReportSchema = Type.Object(
  {
    version: Type.Literal(REPORT_VERSION),
    /** ISO 8601, UTC. */
    startedAt: Text,
    finishedAt: Text,
    onejob: Text,
    driver: Type.Object({ name: Text, note: Text }, closed),
    /** What its machines had of a network; older reports do not say it: `link`. */
    network: Type.Optional(Type.Enum([...NETWORK_MODES])),
    /** Digest of the guest image; empty: the driver has none. */
    image: Text,
    host: Type.Object({ system: Text, cpus: Count, memoryBytes: Count, node: Text }, closed),
    /** In namespaces of its own? Why not, else empty. */
    notIsolated: Text,
    /** What `--only` named; none: all attacks. */
    only: Type.Array(Text, { maxItems: 500 }),
    /** What a reader must know beside the findings. */
    notes: Type.Array(Text, { maxItems: 50 }),
    totals: Type.Object(
      { held: Count, broken: Count, 'not counted': Count, 'not tried': Count },
      closed,
    ),
    findings: Type.Array(FindingSchema, { maxItems: 1000 }),
  },
  closed,
);
export type Report = Static<typeof ReportSchema>;

const SignedSchema = Type.Object(
  {
    report: Type.Unknown(),
    signature: Type.Object(
      {
        algorithm: Type.Literal('ed25519'),
        /** SPKI, base64. */
        publicKey: Type.String({ maxLength: 200 }),
        fingerprint: Type.String({ maxLength: 100 }),
        /** Of the report in its canonical form, base64. */
        value: Type.String({ maxLength: 200 }),
      },
      closed,
    ),
  },
  closed,
);

const reportSchema = Compile(ReportSchema);
const signedSchema = Compile(SignedSchema);

/** Sorted keys, no blanks: the same value gives the same text. */
export function canonical(value: unknown, depth = 0): string {
  // A report is not deep; what is would end this function and not be refused.
  if (depth > DEPTH) throw invalid('it is nested deeper than any report');
  const inside = (inner: unknown): string => canonical(inner, depth + 1);
  if (Array.isArray(value)) return `[${value.map(inside).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, inner]) => `${JSON.stringify(key)}:${inside(inner)}`);
  return `{${entries.join(',')}}`;
}

/** Of a private key its public part. */
const publicOf = (key: KeyObject): KeyObject =>
  key.type === 'private' ? createPublicKey(key) : key;

/** `SHA256:` and the hash of the public key, as ssh-keygen writes it. */
export function fingerprintOf(key: KeyObject): string {
  const der = publicOf(key).export({ type: 'spki', format: 'der' });
  return `SHA256:${createHash('sha256').update(der).digest('base64').replace(/=+$/, '')}`;
}

/** The text of a report's file. @param key the host's private one */
export function signReport(report: Report, key: KeyObject): string {
  const publicKey = publicOf(key).export({ type: 'spki', format: 'der' }).toString('base64');
  const value = sign(null, Buffer.from(canonical(report)), key).toString('base64');
  const fingerprint = fingerprintOf(key);
  const signature = { algorithm: 'ed25519', publicKey, fingerprint, value };
  return `${canonical({ report, signature })}\n`;
}

export type Verified = { report: Report; fingerprint: string };

/**
 * The report of a file, after every check.
 * @param expected the fingerprint that must have signed it; undefined: any
 * @throws ProveError `report_invalid`, with what is wrong
 */
export function verifyReport(text: string, expected?: string): Verified {
  if (Buffer.byteLength(text) > REPORT_BYTES) throw invalid(`it has over ${REPORT_BYTES} bytes`);
  const parsed = parseJson(text);
  if (!signedSchema.Check(parsed)) throw invalid('it is no signed report');
  const { report, signature } = parsed;
  const key = readPublicKey(signature.publicKey);
  const fingerprint = fingerprintOf(key);
  if (fingerprint !== signature.fingerprint)
    throw invalid('its fingerprint is not that of its key');
  const value = fromBase64(signature.value);
  if (value === undefined || !verify(null, Buffer.from(canonical(report)), key, value)) {
    throw invalid('its signature does not fit: it was altered since it was signed');
  }
  // The text, too: what a reader of the file sees is what was signed.
  if (text.replace(/\n$/, '') !== canonical({ report, signature })) {
    throw invalid('it is not in its canonical form: it was altered since it was signed');
  }
  const { version } = (report ?? {}) as { version?: unknown };
  if (version !== REPORT_VERSION) {
    const shown = JSON.stringify(version)?.slice(0, 20) ?? 'none';
    throw invalid(`its version is ${shown}; this onejob reads version ${REPORT_VERSION}`);
  }
  if (!reportSchema.Check(report)) throw invalid('it does not have the fields of a report');
  if (canonical(countVerdicts(report.findings)) !== canonical(report.totals)) {
    throw invalid('its totals are not those of its findings');
  }
  if (expected !== undefined && expected !== fingerprint) {
    throw invalid(`it was signed by the key ${fingerprint}, not by ${expected}`);
  }
  return { report, fingerprint };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw invalid('it is no JSON, or only a part of it');
  }
}

/** Undefined: not the one way in which these bytes are written. */
function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

function readPublicKey(text: string): KeyObject {
  const bytes = fromBase64(text);
  try {
    if (bytes !== undefined) {
      const key = createPublicKey({ key: bytes, type: 'spki', format: 'der' });
      // OpenSSL reads more than one writing of a key, and what follows it is nothing to it.
      const isPlain = key.export({ type: 'spki', format: 'der' }).equals(bytes);
      if (key.asymmetricKeyType === 'ed25519' && isPlain) return key;
    }
  } catch {
    // Said below.
  }
  throw invalid('its key cannot be read');
}

const invalid = (what: string): ProveError =>
  new ProveError('report_invalid', `This report proves nothing: ${what}.`);
