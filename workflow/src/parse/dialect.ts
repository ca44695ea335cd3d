/**
 * Dialects of workflow files: GitHub's schema, and what Gitea and Forgejo add to it. A file is read by
 * the one that is declared for where it comes from; GitHub's is never loosened.
 *
 * What a task of Gitea or Forgejo differs in: it is one job of a workflow, without `on`; the context
 * `github` has a second name; `env` may stand in a job's `if` and in `container`, and expressions in
 * `shell`; an input needs no type; Forgejo has `enable-openid-connect`. Source: the schemas of
 * their runners.
 */
import type { Definition } from '@actions/workflow-parser/templates/schema/definition';
import type { MappingDefinition } from '@actions/workflow-parser/templates/schema/mapping-definition';
import type { PropertyDefinition } from '@actions/workflow-parser/templates/schema/property-definition';
import type { TemplateSchema } from '@actions/workflow-parser/templates/schema/template-schema';

export const DIALECTS = ['github', 'gitea', 'forgejo'] as const;
export type Dialect = (typeof DIALECTS)[number];

type Additions = {
  /** Second names of the context `github`. */
  aliases: readonly string[];
  /** Contexts a definition allows beside GitHub's. */
  contexts: Readonly<Record<string, readonly string[]>>;
  /** Properties of a mapping that need not be there. */
  optional: Readonly<Record<string, readonly string[]>>;
  /** New properties of a mapping, with their types. */
  properties: Readonly<Record<string, Readonly<Record<string, string>>>>;
};

const SHELL_CONTEXTS = ['github', 'inputs', 'vars', 'needs', 'strategy', 'matrix', 'env'];
const BOTH: Additions = {
  aliases: [],
  contexts: {
    'job-if': ['env'],
    'job-if-result': ['env'],
    container: ['env'],
    'container-env': ['env'],
    shell: SHELL_CONTEXTS,
  },
  optional: { 'workflow-root-strict': ['on'], 'workflow-call-input-definition': ['type'] },
  properties: {},
};

const ADDITIONS: Readonly<Record<Exclude<Dialect, 'github'>, Additions>> = {
  gitea: { ...BOTH, aliases: ['gitea'] },
  forgejo: {
    ...BOTH,
    aliases: ['forgejo', 'gitea'],
    properties: {
      'workflow-root-strict': { 'enable-openid-connect': 'boolean' },
      'job-factory': { 'enable-openid-connect': 'boolean' },
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
  for (const name of optional) {
    const property = properties[name];
    if (property !== undefined) properties[name] = copied(property, { required: false });
  }
  const example = Object.values(properties)[0];
  for (const [name, type] of Object.entries(added)) {
    if (example !== undefined) {
      properties[name] = copied<PropertyDefinition>(example, { type, required: false });
    }
  }
  return properties;
}

/** GitHub's schema with the additions; GitHub's own stays as it is. */
function extended(schema: TemplateSchema, additions: Additions): TemplateSchema {
  const { aliases, contexts, optional, properties } = additions;
  const definitions = Object.create(null) as TemplateSchema['definitions'];
  for (const [name, definition] of Object.entries(schema.definitions)) {
    const more = contexts[name] ?? [];
    const changes: Partial<Definition> & Partial<MappingDefinition> = {
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

/** Second names of the `github` context in a dialect. */
export const githubAliases = (dialect: Dialect): readonly string[] =>
  dialect === 'github' ? [] : ADDITIONS[dialect].aliases;
