/**
 * A word as a shell takes it, for commands that are shown to be typed: in quotes where it has blanks or signs of the shell. A line break
 * stays one inside them; whoever prints shows it in another way.
 */
export const shellWord = (word: string): string => (/^[\w%+:,./@=-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`)
