/**
 * The annotations of one part of a step, or of the job itself: masked, cut to what the host takes, and
 * counted; beyond GitHub's number of a level they are only in the log.
 */
import type { Annotation } from '@onejob/protocol';
import { ANNOTATION_MESSAGE_BYTES, ANNOTATIONS_PER_LEVEL } from '@onejob/protocol/limits';
import type { SecretMasker } from '@onejob/masking';
import { SHORT_TEXT_CHARACTERS } from '../limits.ts';
import type { HostControl } from '../link/host.ts';
import { clip } from './clip.ts';

export class Annotations {
  private readonly parts: { host: HostControl; masker: SecretMasker; index: number };
  private readonly counts = new Map<Annotation['level'], number>();

  constructor(parts: { host: HostControl; masker: SecretMasker; index: number }) {
    this.parts = parts;
  }

  add(annotation: Annotation): void {
    const count = this.counts.get(annotation.level) ?? 0;
    if (count >= ANNOTATIONS_PER_LEVEL) return;
    this.counts.set(annotation.level, count + 1);
    const { masker, host, index } = this.parts;
    const short = (text: string): string => clip(masker.maskText(text), SHORT_TEXT_CHARACTERS);
    const masked: Annotation = {
      ...annotation,
      message: clip(masker.maskText(annotation.message), ANNOTATION_MESSAGE_BYTES),
    };
    if (annotation.title !== undefined) masked.title = short(annotation.title);
    if (annotation.file !== undefined) masked.file = short(annotation.file);
    host.send({ type: 'annotation', index, annotation: masked });
  }
}
