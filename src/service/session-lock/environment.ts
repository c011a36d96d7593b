import { isOtherVariable } from '../../host/environment.ts'

/** The settings in an environment, without the session's own variables: what carries those counts as a command of the session. */
export function settingsIn(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isSetting = (name: string): boolean => /^(?:HOME|PATH|XDG_CONFIG_HOME|LEASEHOLD_.*)$/.test(name) && !isOtherVariable(name)
  return Object.fromEntries(Object.entries(env).filter(([name]) => isSetting(name)))
}
