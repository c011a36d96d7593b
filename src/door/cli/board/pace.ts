/** A death, a deadline and a launch in flight write no record, so whoever watches looks also when nothing was written. Milliseconds. */
export const lookEveryMs = 1000
