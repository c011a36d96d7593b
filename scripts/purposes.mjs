// @ts-check
/** Commands that agents run all day. Each has its own selection of the code that V8 made, see code-cache.mjs. */
export const PURPOSES = ['claim acquire', 'claim renew', 'claim heartbeat', 'claim release', 'claim check', 'claim list']

/** How a purpose is written in the name of a file. @param {string} purpose */
export const inFileName = purpose => purpose.replace(' ', '-')
