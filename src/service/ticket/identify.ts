import { isoFromMs } from '../../core/time.ts'

/** Longer slugs are cut, at a word if possible. */
const maxSlug = 60

/** The slug of a title of which nothing can be written in these letters. */
const noName = 'ticket'

/** Does anybody call a ticket by this slug? A number, and what stands for a title in other letters, are names of nothing. */
export const isName = (slug: string): boolean => slug !== noName && /[^0-9._-]/.test(slug)

/** A title as a part of an id: `[a-z0-9-]`, at most 60 characters; `ticket` when nothing of it can be written so. */
export function slugOf(title: string): string {
  const folded = title
    .normalize('NFKD')
    .replaceAll(/\p{M}+/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
  if (folded.length <= maxSlug) return folded || noName
  const cut = folded.slice(0, maxSlug + 1)
  const word = cut.lastIndexOf('-')
  return cut.slice(0, word > maxSlug / 2 ? word : maxSlug).replaceAll(/-+$/g, '')
}

/** `YYYYMMDD-HHMMSS-slug` in UTC, for the first second from `nowMs` on that is not taken. */
export function mintId(slug: string, nowMs: number, taken: (id: string) => boolean): string {
  for (let second = Math.floor(nowMs / 1000); ; second++) {
    const time = isoFromMs(second * 1000)
    const id = `${time.slice(0, 10).replaceAll('-', '')}-${time.slice(11, 19).replaceAll(':', '')}-${slug}`
    if (!taken(id)) return id
  }
}

const timedId = /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)(?:-|$)/

/** When a ticket was made, if its id says so. */
export function idTime(id: string): string | null {
  const found = timedId.exec(id)
  if (found === null) return null
  const [, year, month, day, hour, minute, second] = found
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}Z`
  const ms = Date.parse(iso)
  // 31 February has a form and no day.
  return Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 19) !== iso.slice(0, 19) ? null : iso
}

/** What an id says beside its time; the whole of one that has none. */
export const slugInId = (id: string): string => (id.length > 16 && /^\d{8}-\d{6}-/.test(id) ? id.slice(16) : id)
