/** A proof as a table for people: what was tried, what came of it, and what its control showed. */
import { countPlatform, type Report, type Verdict } from '@onejob/prove';
import { type Paint, safeText } from './style.ts';
import { table } from './table.ts';

const MARKS: Readonly<Record<Verdict, { mark: string; format: Parameters<Paint>[0] }>> = {
  held: { mark: '✓', format: 'green' },
  broken: { mark: '✗', format: 'red' },
  'not counted': { mark: '·', format: 'yellow' },
  'not tried': { mark: '-', format: 'gray' },
};
/** Of what was observed: the whole is in the report. */
const SHOWN_CHARACTERS = 60;

const clip = (text: string): string => {
  const line = safeText(text, false).replaceAll(/\s+/g, ' ');
  return line.length <= SHOWN_CHARACTERS ? line : `${line.slice(0, SHOWN_CHARACTERS - 1)}…`;
};

/** How many held; those that no sandbox took part in are told apart. */
export function tellHeld({ totals, findings }: Report): string {
  const beside = countPlatform(findings);
  return `${totals.held} held${beside === 0 ? '' : ` (${beside} of them on the platform, in no sandbox)`}`;
}

export function showProof(report: Report, paint: Paint): string {
  const header = ['', 'class', 'attack', 'expected', 'observed', 'verdict', 'control'];
  const rows = report.findings.map((finding) => {
    const { mark, format } = MARKS[finding.verdict];
    const { control } = finding;
    return [
      paint(format, mark),
      finding.class,
      `${finding.id}: ${finding.title}`,
      finding.expected,
      clip(finding.observed),
      paint(format, finding.verdict),
      control.outcome === 'through'
        ? 'got through'
        : clip(`${control.outcome}: ${control.observed}`),
    ];
  });
  const { totals, driver } = report;
  return [
    table([header.map((cell) => paint('dim', cell)), ...rows]),
    '',
    ...report.notes,
    ...(report.notIsolated === ''
      ? []
      : [`Less was tried, without namespaces of the proof's own: ${report.notIsolated}.`]),
    `driver ${driver.name}${report.network === 'nat' ? ', network nat' : ''}: ${safeText(driver.note, false)}`,
    `${tellHeld(report)}, ${totals.broken} broken, ${totals['not counted']} not counted, ${totals['not tried']} not tried`,
  ].join('\n');
}
