/**
 * Most commands of one process that travel in one transaction. All that it writes is of one revision, so each revision is so many positions,
 * and each command writes at its own: no two ownerships have the same token. Never changed once a space was written: tokens would not grow.
 */
export const places = 32

/** The position of what a command wrote; who travels alone has place 0, the last one. `base` is the space's token base. */
export const positionOf = (base: number, revision: number, place = 0): number => base + revision * places - place

/** The newest revision of which nothing is later than this position; 0 for positions of before the base, which came with a move. */
export const revisionUntil = (position: number, base: number): number => Math.max(0, Math.floor((position - base) / places))
