/** GitHub's schema of workflow files, as `@actions/workflow-parser` ships it. */
import { OneOfDefinition } from '@actions/workflow-parser/templates/schema/one-of-definition';
import type { MappingDefinition } from '@actions/workflow-parser/templates/schema/mapping-definition';
import type { TemplateSchema } from '@actions/workflow-parser/templates/schema/template-schema';
import { importSchema } from './import-schema.ts';

/**
 * The schema is that of an editor, which wants more to be written than GitHub does: `inputs` of
 * `workflow_dispatch` may be empty there, and each of them too.
 */
function withEmptyInputs(schema: TemplateSchema): TemplateSchema {
  const orNull = (name: string): string => {
    const definition = new OneOfDefinition(`${name}-or-null`);
    definition.oneOf.push('null', name);
    schema.definitions[definition.key] = definition;
    return definition.key;
  };
  const dispatch = schema.definitions['workflow-dispatch-mapping'] as MappingDefinition;
  const inputs = schema.definitions['workflow-dispatch-inputs'] as MappingDefinition;
  const property = dispatch.properties['inputs'];
  if (property !== undefined) {
    dispatch.properties['inputs'] = { ...property, type: orNull('workflow-dispatch-inputs') };
  }
  inputs.looseValueType = orNull('workflow-dispatch-input');
  return schema;
}

/** Loaded once, when this module is. */
export const workflowSchema: TemplateSchema = withEmptyInputs(
  await importSchema(async () => {
    const module = await import('@actions/workflow-parser/workflows/workflow-schema');
    return module.getWorkflowSchema();
  }),
);
