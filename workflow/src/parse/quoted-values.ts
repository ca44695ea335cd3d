/**
 * Numbers and booleans as the forges hand them out. Gitea and Forgejo read a job into texts and write
 * those again, so that `timeout-minutes: 10` reaches a runner as `"10"` (`SingleWorkflow` in the
 * `jobparser` of both). A place that may hold one of them takes the text of one, and everything that
 * reads the file after that sees the value.
 */
import type { Definition } from '@actions/workflow-parser/templates/schema/definition';
import { DefinitionType } from '@actions/workflow-parser/templates/schema/definition-type';
import type { ScalarDefinition } from '@actions/workflow-parser/templates/schema/scalar-definition';
import { BooleanToken } from '@actions/workflow-parser/templates/tokens/boolean-token';
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import type { LiteralToken } from '@actions/workflow-parser/templates/tokens/literal-token';
import { MappingToken } from '@actions/workflow-parser/templates/tokens/mapping-token';
import { NumberToken } from '@actions/workflow-parser/templates/tokens/number-token';
import { SequenceToken } from '@actions/workflow-parser/templates/tokens/sequence-token';
import type { StringToken } from '@actions/workflow-parser/templates/tokens/string-token';
import {
  isMapping,
  isSequence,
  isString,
} from '@actions/workflow-parser/templates/tokens/type-guards';

/** What YAML reads as one of them where it stands without quotes. */
const BOOLEAN = /^(?:true|True|TRUE|false|False|FALSE)$/;
const NUMBER = /^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?$/;

function isTextOf(type: DefinitionType, text: string): boolean {
  if (type === DefinitionType.Boolean) return BOOLEAN.test(text);
  return type === DefinitionType.Number && NUMBER.test(text);
}

/** What a definition of a number or a boolean becomes, so that it takes their text, too. */
export function takingText(definition: Definition): Pick<ScalarDefinition, 'isMatch'> {
  const scalar = definition as ScalarDefinition;
  return {
    isMatch: (literal: LiteralToken) =>
      scalar.isMatch(literal) ||
      (isString(literal) && isTextOf(definition.definitionType, literal.value)),
  };
}

/** The tree with values in the place of texts that were taken for one. */
export function withoutQuotes(token: TemplateToken): TemplateToken {
  if (isString(token)) return valueOf(token);
  const { file, range, definitionInfo } = token;
  if (isSequence(token)) {
    const items = new SequenceToken(file, range, definitionInfo);
    for (const item of token) items.add(withoutQuotes(item));
    return items;
  }
  if (!isMapping(token)) return token;
  const mapping = new MappingToken(file, range, definitionInfo);
  for (const { key, value } of token) mapping.add(key, withoutQuotes(value));
  return mapping;
}

function valueOf(token: StringToken): TemplateToken {
  const { file, range, definitionInfo, value } = token;
  const type = definitionInfo?.definition.definitionType;
  if (type === DefinitionType.Boolean) {
    return new BooleanToken(file, range, value.toLowerCase() === 'true', definitionInfo);
  }
  if (type === DefinitionType.Number) {
    return new NumberToken(file, range, Number(value), definitionInfo);
  }
  return token;
}
