/**
 * Which containers a leg asks for. An image that evaluates to nothing asks for none: of a job, its
 * steps run in the machine itself; of a service, it is left out (GitHub, workflow syntax,
 * `jobs.<job_id>.container.image` and `jobs.<job_id>.services.<service_id>.image`).
 *
 * Only images are evaluated here: `env` and `credentials` may read contexts that the runner has.
 */
import type { Json, Template } from '@onejob/protocol';
import { toText } from '../evaluate/index.ts';
import { isObject } from '../evaluate/values.ts';
import { entryOf } from '../template-entry.ts';

export type LegContainers = {
  /** Image that the steps run in; null: none. */
  job: string | null;
  /** Names of the services with an image. */
  services: string[];
};

type Evaluate = (template: Template) => Json;

/** A container is its image, or a mapping with one; what is neither names none. */
function imageIn(value: Json): string {
  const image = isObject(value) ? value['image'] : value;
  return typeof image === 'object' || image === undefined ? '' : toText(image);
}

function imageOf(container: Template, evaluate: Evaluate): string {
  const isMapping = typeof container === 'object' && container !== null && 'map' in container;
  return imageIn(evaluate(isMapping ? (entryOf(container, 'image') ?? null) : container));
}

function servicesOf(services: Template, evaluate: Evaluate): string[] {
  if (services === null || typeof services !== 'object' || !('map' in services)) {
    const value = evaluate(services);
    if (!isObject(value)) return [];
    return Object.keys(value).filter((name) => imageIn(value[name] ?? null) !== '');
  }
  return services.map.flatMap((entry) => {
    if ('insert' in entry) return servicesOf(entry.insert, evaluate);
    const isAsked = imageOf(entry.value, evaluate) !== '';
    return isAsked ? [toText(evaluate(entry.key))] : [];
  });
}

/** @param evaluate a template of the job, with the contexts of the leg */
export function containersOf(
  job: { container: Template; services: Template },
  evaluate: (key: 'container' | 'services', template: Template) => Json,
): LegContainers {
  const image = imageOf(job.container, (template) => evaluate('container', template));
  return {
    job: image === '' ? null : image,
    services: servicesOf(job.services, (template) => evaluate('services', template)),
  };
}
