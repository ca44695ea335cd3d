/** GitHub's schema of workflow files, as `@actions/workflow-parser` ships it. */
import type { TemplateSchema } from '@actions/workflow-parser/templates/schema/template-schema';
import { importSchema } from './import-schema.ts';

/** Loaded once, when this module is. */
export const workflowSchema: TemplateSchema = await importSchema(async () => {
  const module = await import('@actions/workflow-parser/workflows/workflow-schema');
  return module.getWorkflowSchema();
});
