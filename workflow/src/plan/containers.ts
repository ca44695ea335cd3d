/**
 * Which containers a leg asks for. An image that evaluates to nothing, or to `docker://` alone, asks
 * for none: of a job, its steps run in the machine itself; of a service, it is left out (GitHub,
 * workflow syntax, `jobs.<job_id>.container.image` and `jobs.<job_id>.services.<service_id>.image`).
 *
 * All of a container is evaluated and checked for its shape, but for values of `env` and
 * `credentials` that read contexts only the runner has.
 */
import type { Json, MapEntry, Template } from '@onejob/protocol';
import { toText } from '../evaluate/index.ts';
import { isObject, isPrimitive } from '../evaluate/values.ts';
import { quoted } from '../quote.ts';
import { readsContext } from '../some-node.ts';

export type LegContainers = {
  /** Image that the steps run in; null: none. */
  job: string | null;
  /** Names of the services with an image. */
  services: string[];
};

/** Of one key of the job, with the contexts of the leg. */
export type ContainerPlanner = {
  evaluate(template: Template): Json;
  /** What was evaluated is no container. */
  fail(message: string): never;
};

const DOCKER = 'docker://';
/** GitHub's schema allows them in `env` and `credentials`; they are known on the machine. */
const LATER = ['secrets', 'env', 'job', 'runner', 'steps'];
const TEXTS = ['image', 'options', 'entrypoint', 'command'];
/** Forgejo's dialect has a list here; in GitHub's none passes the schema where it is written out. */
const TEXT_OR_LIST = 'entrypoint';
const LISTS = ['ports', 'volumes'];
const MAPPINGS = ['env', 'credentials'];
const KEYS = new Set([...TEXTS, ...LISTS, ...MAPPINGS]);

const isMap = (template: Template): template is { map: MapEntry[] } =>
  typeof template === 'object' && template !== null && 'map' in template;

const readsLater = (template: Template): boolean =>
  LATER.some((context) => readsContext(template, context));

/** Values that are known now. */
function knownNow(template: Template): Template {
  if (!isMap(template)) return readsLater(template) ? null : template;
  const map = template.map.filter((entry) =>
    'insert' in entry ? !readsLater(entry.insert) : !readsLater(entry.value),
  );
  return { map };
}

/** The container without what is known later. */
function withoutLater(container: Template): Template {
  if (!isMap(container)) return container;
  const map = container.map.map((entry) => {
    if ('insert' in entry) return entry;
    const isMapping = MAPPINGS.some((key) => key === entry.key);
    return isMapping ? { ...entry, value: knownNow(entry.value) } : entry;
  });
  return { map };
}

class ContainerReader {
  private readonly planner: ContainerPlanner;

  constructor(planner: ContainerPlanner) {
    this.planner = planner;
  }

  /** @returns the image; empty: no container */
  image(template: Template): string {
    const value = this.planner.evaluate(withoutLater(template));
    if (!isObject(value)) return withoutPrefix(this.text(value));
    // Keys that the file has itself were checked when it was read.
    if (!isMap(template)) this.expectKeys(value);
    for (const key of TEXTS) {
      const one = value[key];
      if (key === TEXT_OR_LIST && isMap(template) && Array.isArray(one)) this.list(one);
      else this.text(one);
    }
    for (const key of LISTS) this.list(value[key]);
    for (const key of MAPPINGS) this.mapping(value[key]);
    return withoutPrefix(this.text(value['image']));
  }

  services(template: Template): string[] {
    if (isMap(template)) {
      return template.map.flatMap((entry) => {
        if ('insert' in entry) return this.services(entry.insert);
        const name = this.text(this.planner.evaluate(entry.key));
        return this.image(entry.value) === '' ? [] : [name];
      });
    }
    const value = this.planner.evaluate(template);
    if (value === null || value === '') return [];
    if (!isObject(value)) return this.unexpected(value);
    return Object.keys(value).filter((name) => this.image(asTemplate(value[name])) !== '');
  }

  private expectKeys(container: Record<string, Json>): void {
    const unknown = Object.keys(container).find((key) => !KEYS.has(key));
    if (unknown !== undefined) this.unexpected(unknown);
  }

  private text(value: Json | undefined): string {
    const scalar = value ?? '';
    return isPrimitive(scalar) ? toText(scalar) : this.unexpected(scalar);
  }

  private list(value: Json | undefined): void {
    if (value === undefined || value === null) return;
    if (!Array.isArray(value)) return this.unexpected(value);
    for (const item of value) if (this.text(item) === '') this.unexpected('');
  }

  private mapping(value: Json | undefined): void {
    if (value === undefined || value === null) return;
    if (!isObject(value)) return this.unexpected(value);
    for (const item of Object.values(value)) this.text(item);
  }

  /** As GitHub says it of what a template became. */
  private unexpected(value: Json): never {
    if (Array.isArray(value)) return this.planner.fail('A sequence was not expected');
    if (isObject(value)) return this.planner.fail('A mapping was not expected');
    return this.planner.fail(`Unexpected value '${quoted(toText(value))}'`);
  }
}

const withoutPrefix = (image: string): string =>
  image.startsWith(DOCKER) ? image.slice(DOCKER.length) : image;

/** A value that was evaluated, to be looked at like one that is written out. */
function asTemplate(value: Json | undefined): Template {
  if (value === undefined || value === null || typeof value !== 'object') return value ?? null;
  if (Array.isArray(value)) return { seq: value.map(asTemplate) };
  return { map: Object.entries(value).map(([key, one]) => ({ key, value: asTemplate(one) })) };
}

export function containersOf(
  job: { container: Template; services: Template },
  planners: Record<'container' | 'services', ContainerPlanner>,
): LegContainers {
  const image = new ContainerReader(planners.container).image(job.container);
  return {
    job: image === '' ? null : image,
    services: new ContainerReader(planners.services).services(job.services),
  };
}
