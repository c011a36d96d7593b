import { parse, TomlError } from 'smol-toml'

/** Lists in lists and tables in tables. What is deeper, nothing here wrote, and not everything could write again. */
const maxNesting = 100

/** What a TOML text says, times as text; or where and why it is none. */
export function parseToml(text: string): { readonly value: unknown } | { readonly line: number; readonly why: string } {
  try {
    const value = parse(text.replaceAll('\r\n', '\n'), { maxDepth: maxNesting })
    // A key may be as long as the text.
    if (isDeeper(value, maxNesting)) return { line: 1, why: `it is nested deeper than ${maxNesting} levels` }
    return { value: JSON.parse(JSON.stringify(value)) as unknown }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [message = ''] = error.message.split('\n')
    return { line: error.line, why: message.replace(/^Invalid TOML document: /, '') }
  }
}

const isDeeper = (value: unknown, levels: number): boolean =>
  typeof value === 'object' && value !== null && (levels === 0 || Object.values(value).some(each => isDeeper(each, levels - 1)))
