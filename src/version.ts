/** The version of this package; equal to the one in `package.json`, which a check compares. */
export const version = '0.1.0'
