/**
 * Imports a schema of `@actions/workflow-parser`.
 *
 * That package imports its JSON without the attribute Node asks for. Node then needs a load hook,
 * which is there only while the one module is imported; a bundler has put the JSON inline and
 * never asks it.
 *
 * The schema's dictionaries lose their prototype, so that a key named `constructor` is an unknown
 * key and not a function.
 */
import { registerHooks } from 'node:module';
import type { TemplateSchema } from '@actions/workflow-parser/templates/schema/template-schema';

const attributes = { type: 'json' };

/** @param load imports the module that has the schema, and asks it for it */
export async function importSchema(load: () => Promise<TemplateSchema>): Promise<TemplateSchema> {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (!specifier.endsWith('.min.json')) return next(specifier, context);
      const resolved = next(specifier, { ...context, importAttributes: attributes });
      return { ...resolved, importAttributes: attributes };
    },
    load(url, context, next) {
      if (!url.endsWith('.min.json')) return next(url, context);
      return next(url, { ...context, importAttributes: attributes });
    },
  });
  try {
    return withoutPrototypes(await load());
  } finally {
    hooks.deregister();
  }
}

function withoutPrototypes(schema: TemplateSchema): TemplateSchema {
  Object.setPrototypeOf(schema.definitions, null);
  for (const definition of Object.values(schema.definitions)) {
    if ('properties' in definition) Object.setPrototypeOf(definition.properties, null);
  }
  return schema;
}
