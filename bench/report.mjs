// @ts-check
// The table: what was measured, the target beside it, and in words whether it was met. Nothing here ends the run: clocks assert nothing.

/**
 * @typedef {object} Row
 * @property {string} what
 * @property {number} value
 * @property {string} unit `x` for a ratio
 * @property {{ atMost: number } | { atLeast: number }} [target]
 * @property {string} [note] what the ratio was made of
 */

/** @param {number} value */
export const plain = value =>
  value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)

/** @param {Row} row */
function verdict({ value, target }) {
  if (target === undefined) return ['', '']
  if ('atMost' in target) return [`≤ ${plain(target.atMost)}`, value <= target.atMost ? 'PASS' : 'over']
  return [`≥ ${plain(target.atLeast)}`, value >= target.atLeast ? 'PASS' : 'under']
}

/** @param {string} title @param {readonly Row[]} rows */
export function printTable(title, rows) {
  console.log(`\n${title}`)
  const cells = rows.map(row => {
    const [target = '', word = ''] = verdict(row)
    return [row.what, `${plain(row.value)} ${row.unit}`, target, word, row.note ?? '']
  })
  const widths = [0, 1, 2, 3].map(column => Math.max(...cells.map(cell => cell[column]?.length ?? 0)))
  for (const [what = '', value = '', target = '', word = '', note = ''] of cells) {
    const line = `  ${what.padEnd(widths[0] ?? 0)}  ${value.padStart(widths[1] ?? 0)}  ${target.padEnd(widths[2] ?? 0)}  ${word.padEnd(widths[3] ?? 0)}  ${note}`
    console.log(line.trimEnd())
  }
}
