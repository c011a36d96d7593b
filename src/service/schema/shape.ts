// The few shapes that the published schemas are built from. An object lists every member it can have and refuses others, so a field that
// nobody documented makes a test fail.

/** A JSON Schema, or a part of one. */
export type Schema = Readonly<Record<string, unknown>>

type Members = Readonly<Record<string, Schema>>

/** An object: its members, those that may be missing, and none besides. */
export const object = (required: Members, optional: Members = {}): Schema => ({
  type: 'object',
  properties: { ...required, ...optional },
  required: Object.keys(required),
  additionalProperties: false,
})

export const list = (items: Schema): Schema => ({ type: 'array', items })
export const text = (description?: string): Schema => ({ type: 'string', ...said(description) })
export const flag = (description?: string): Schema => ({ type: 'boolean', ...said(description) })
export const count = (description?: string): Schema => ({ type: 'integer', minimum: 0, ...said(description) })
export const number = (description?: string): Schema => ({ type: 'number', ...said(description) })
export const always = (value: unknown, description?: string): Schema => ({ const: value, ...said(description) })
export const oneOf = (...values: readonly unknown[]): Schema => ({ enum: values })
export const either = (...schemas: readonly Schema[]): Schema => ({ anyOf: schemas })

/** The schema, or null. */
export const maybe = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] })

/** The same with a sentence for people. */
export const about = (schema: Schema, description: string): Schema =>
  '$ref' in schema ? { allOf: [schema], description } : { ...schema, description }

const said = (description: string | undefined): Schema => (description === undefined ? {} : { description })
