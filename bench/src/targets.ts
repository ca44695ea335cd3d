/** Which measurements of a report missed their target: their path, `steps` or `actions.runSteps`. */
export function missedTargets(report: unknown, path: readonly string[] = []): string[] {
  if (typeof report !== 'object' || report === null) return [];
  const own = 'isTargetMet' in report && report.isTargetMet === false ? [path.join('.')] : [];
  return [
    ...own,
    ...Object.entries(report).flatMap(([name, value]) => missedTargets(value, [...path, name])),
  ];
}
