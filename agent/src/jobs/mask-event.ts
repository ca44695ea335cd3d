/**
 * Masks what a guest reports before it leaves the host. A mask can be longer than what it hides, so
 * texts are cut to the protocol's limits again: the control plane refuses what exceeds them.
 */
import {
  ANNOTATION_MESSAGE_BYTES,
  ENVIRONMENT_URL_CHARACTERS,
  STEP_SUMMARY_BYTES,
  type Annotation,
  type JobEvent,
} from '@onejob/protocol';

/** The schema's limit for names, titles and paths. */
const SHORT_TEXT_CHARACTERS = 4096;

export function maskEvent(event: JobEvent, mask: (text: string) => string): JobEvent {
  const clean = (text: string, limit = SHORT_TEXT_CHARACTERS): string => mask(text).slice(0, limit);
  switch (event.type) {
    case 'step':
      return { ...event, name: clean(event.name) };
    case 'action':
      return { ...event, uses: clean(event.uses) };
    case 'summary':
      return { ...event, markdown: clean(event.markdown, STEP_SUMMARY_BYTES) };
    case 'environment':
      return { ...event, url: clean(event.url, ENVIRONMENT_URL_CHARACTERS) };
    case 'annotation': {
      const { annotation } = event;
      const masked: Annotation = {
        ...annotation,
        message: clean(annotation.message, ANNOTATION_MESSAGE_BYTES),
      };
      if (annotation.title !== undefined) masked.title = clean(annotation.title);
      if (annotation.file !== undefined) masked.file = clean(annotation.file);
      return { ...event, annotation: masked };
    }
  }
}
