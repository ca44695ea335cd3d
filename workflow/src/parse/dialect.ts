/**
 * Dialects of workflow files: GitHub's schema, and what Gitea and Forgejo add to it. A file is read by
 * the one that is declared for where it comes from; GitHub's is never loosened.
 *
 * What a forge hands out is one job of a workflow, without its `needs`, read into texts and written again.
 * What it differs in: `on` may be missing, and decides nothing, since the forge has started the task;
 * numbers and booleans may be texts (`quoted-values.ts`); the context `github` has other names; `env` may
 * stand in a job's `if`, `container` and `services`, and expressions in `shell`; an input needs no
 * type; containers have keys of their own. Gitea numbers the leg (`job-index`) and has scopes of its
 * own in `permissions`, Forgejo keeps notes (`__metadata`). Sources: `SingleWorkflow` in the `jobparser`
 * of both, the schema of Forgejo's runner, and the table of contexts in Forgejo's reference.
 */
import type { Definition } from '@actions/workflow-parser/templates/schema/definition';
import { MappingDefinition } from '@actions/workflow-parser/templates/schema/mapping-definition';
import { OneOfDefinition } from '@actions/workflow-parser/templates/schema/one-of-definition';
import type { PropertyDefinition } from '@actions/workflow-parser/templates/schema/property-definition';
import type { TemplateSchema } from '@actions/workflow-parser/templates/schema/template-schema';
import { takingText } from './quoted-values.ts';

export const DIALECTS = ['github', 'gitea', 'forgejo'] as const;
export type Dialect = (typeof DIALECTS)[number];

type Additions = {
  /** Other names of the context `github`. */
  aliases: readonly string[];
  /** Contexts a definition allows beside GitHub's. */
  contexts: Readonly<Record<string, readonly string[]>>;
  /** Properties of a mapping that need not be there. */
  optional: Readonly<Record<string, readonly string[]>>;
  /** Properties of a mapping, with their types: new ones, and those that have another type. */
  properties: Readonly<Record<string, Readonly<Record<string, string>>>>;
};

/** Of a number, of a boolean, and of `on`. */
const NUMBER = 'number-or-its-text';
const BOOLEAN = 'boolean-or-its-text';
const ANY_ON = 'on-of-a-task';
/** Definitions of GitHub's whose values the forges write as texts. */
const WRITTEN_AS_TEXT = ['number-strategy-context', 'step-timeout-minutes'];

const SHELL_CONTEXTS = ['github', 'inputs', 'vars', 'needs', 'strategy', 'matrix', 'env'];
const CMD = { cmd: 'sequence-of-non-empty-string' };
const BOTH: Additions = {
  aliases: [],
  contexts: {
    'job-if': ['env'],
    'job-if-result': ['env'],
    container: ['env'],
    'container-env': ['env'],
    services: ['env'],
    'services-container': ['env'],
    shell: SHELL_CONTEXTS,
  },
  optional: { 'workflow-root-strict': ['on'], 'workflow-call-input-definition': ['type'] },
  properties: {
    'workflow-root-strict': { on: ANY_ON },
    strategy: { 'fail-fast': BOOLEAN, 'max-parallel': NUMBER },
    'concurrency-mapping': { 'cancel-in-progress': BOOLEAN },
    'container-mapping': CMD,
    'service-container-mapping': CMD,
  },
};

/** Scopes of Gitea's own token. */
const GITEA_SCOPES = Object.fromEntries(
  ['code', 'projects', 'releases', 'wiki'].map((scope) => [scope, 'permission-level-any']),
);
const OPEN_ID = { 'enable-openid-connect': 'boolean' };
const ADDITIONS: Readonly<Record<Exclude<Dialect, 'github'>, Additions>> = {
  gitea: {
    ...BOTH,
    aliases: ['gitea'],
    properties: {
      ...BOTH.properties,
      strategy: { ...BOTH.properties['strategy'], 'job-index': 'number', 'job-total': 'number' },
      'permissions-mapping': GITEA_SCOPES,
    },
  },
  forgejo: {
    ...BOTH,
    aliases: ['forgejo', 'forge', 'gitea'],
    contexts: {
      ...BOTH.contexts,
      'job-if': ['env', 'secrets'],
      'job-if-result': ['env', 'secrets'],
      'step-if': ['secrets'],
      'step-if-result': ['secrets'],
    },
    properties: {
      ...BOTH.properties,
      'workflow-root-strict': {
        ...BOTH.properties['workflow-root-strict'],
        ...OPEN_ID,
        'enable-email-notifications': 'boolean',
        __metadata: 'mapping',
      },
      'job-factory': OPEN_ID,
      'workflow-job': OPEN_ID,
      'container-mapping': {
        ...CMD,
        entrypoint: 'sequence-of-non-empty-string',
        init: 'boolean-strategy-context',
        tty: 'boolean-strategy-context',
      },
    },
  },
};

const copied = <T extends object>(one: T, changes: Partial<T>): T =>
  Object.assign(Object.create(Object.getPrototypeOf(one) as object) as T, one, changes);

/** Contexts of a place, with the second names of those that are there, and what the place gets. */
function widened(contexts: readonly string[], aliases: readonly string[], more: readonly string[]) {
  const names = new Set([...contexts, ...more]);
  if (names.has('github')) for (const alias of aliases) names.add(alias);
  return [...names];
}

function withProperties(
  definition: MappingDefinition,
  optional: readonly string[],
  added: Readonly<Record<string, string>>,
): MappingDefinition['properties'] {
  const properties = Object.assign(
    Object.create(null) as MappingDefinition['properties'],
    definition.properties,
  );
  const example = Object.values(properties)[0];
  for (const [name, type] of Object.entries(added)) {
    const property = properties[name];
    if (property !== undefined) {
      properties[name] = copied<PropertyDefinition>(property, { type });
    } else if (example !== undefined) {
      properties[name] = copied<PropertyDefinition>(example, { type, required: false });
    }
  }
  for (const name of optional) {
    const property = properties[name];
    if (property !== undefined) properties[name] = copied(property, { required: false });
  }
  return properties;
}

/** Definitions that GitHub's schema has nothing like. */
function ofTasks({ definitions }: TemplateSchema): Definition[] {
  const takesText = (key: string, type: 'boolean' | 'number'): Definition[] => {
    const definition = definitions[type];
    return definition === undefined ? [] : [copied(definition, { key, ...takingText(definition) })];
  };
  const events = new MappingDefinition(`${ANY_ON}-by-event`);
  const call = (definitions['on-mapping-strict'] as MappingDefinition).properties['workflow_call'];
  Object.setPrototypeOf(events.properties, null);
  if (call !== undefined) events.properties['workflow_call'] = call;
  events.looseKeyType = 'non-empty-string';
  events.looseValueType = 'any';
  const on = new OneOfDefinition(ANY_ON);
  on.oneOf.push('null', 'string', 'sequence', events.key);
  return [...takesText(NUMBER, 'number'), ...takesText(BOOLEAN, 'boolean'), events, on];
}

/** GitHub's schema with the additions; GitHub's own stays as it is. */
function extended(schema: TemplateSchema, additions: Additions): TemplateSchema {
  const { aliases, contexts, optional, properties } = additions;
  const definitions = Object.create(null) as TemplateSchema['definitions'];
  for (const [name, definition] of Object.entries(schema.definitions)) {
    const more = contexts[name] ?? [];
    const changes: Partial<Definition> & Partial<MappingDefinition> = {
      ...(WRITTEN_AS_TEXT.includes(name) ? takingText(definition) : {}),
      readerContext: widened(definition.readerContext, aliases, more),
      evaluatorContext: widened(definition.evaluatorContext, aliases, more),
      ...('properties' in definition
        ? {
            properties: withProperties(
              definition as MappingDefinition,
              optional[name] ?? [],
              properties[name] ?? {},
            ),
          }
        : {}),
    };
    definitions[name] = copied(definition, changes);
  }
  for (const definition of ofTasks(schema)) definitions[definition.key] = definition;
  return copied(schema, { definitions });
}

const made = new Map<Dialect, TemplateSchema>();

/** @param github GitHub's schema of workflow files */
export function schemaOf(dialect: Dialect, github: TemplateSchema): TemplateSchema {
  if (dialect === 'github') return github;
  const known = made.get(dialect) ?? extended(github, ADDITIONS[dialect]);
  made.set(dialect, known);
  return known;
}

/** Other names of the `github` context in a dialect. */
export const githubAliases = (dialect: Dialect): readonly string[] =>
  dialect === 'github' ? [] : ADDITIONS[dialect].aliases;
