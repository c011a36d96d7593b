import { printable } from '../../core/resource.ts'

// What goes on the record or on a terminal of what an agent said.

/** More than this nobody reads, characters. */
const most = 200

/** One line of at most 200 printable characters. */
export function shown(text: string): string {
  // Cut first: the rest would only be work.
  const line = printable(
    text
      .slice(0, 4 * most)
      .replaceAll(/\s+/g, ' ')
      .trim(),
  )
  return line.length > most ? `${line.slice(0, most - 1).replace(/[\uD800-\uDBFF]$/, '')}…` : line
}

/** What looks like a key, whatever it belongs to. */
const keys =
  /\b(?:sk|pk|rk|ghp|gho|ghs|glpat|xox[a-z])[-_][\w*.-]{6,}|\bgithub_pat_\w{6,}|\bAIza[\w-]{6,}|\beyJ[\w-]{8,}[\w.-]*|\bBearer\s+\S+/gi
/** Names of variables that hold what nobody may see. */
const secretName = /KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH/i
/** Shorter values are words that occur anyway. */
const shortest = 6

/** Makes a function that shows a text without the secrets of an environment and without these other texts (a prompt). */
export function redactor(env: NodeJS.ProcessEnv, others: readonly string[] = []): (text: string) => string {
  const values = Object.entries(env).flatMap(([name, value]) => (secretName.test(name) && value !== undefined ? [value] : []))
  const hidden = [...values, ...others].filter(value => value.length >= shortest).toSorted((a, b) => b.length - a.length)
  return text => {
    let clean = text.slice(0, 8 * most)
    for (const value of hidden) clean = clean.replaceAll(value, '[hidden]')
    return shown(clean.replaceAll(keys, '[hidden]'))
  }
}
