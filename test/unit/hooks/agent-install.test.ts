import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { parse } from 'jsonc-parser'
import { beforeEach, describe, expect, it } from 'vitest'
import type { AgentName } from '../../../src/service/hooks/agent/names.ts'
import { agentNames } from '../../../src/service/hooks/agent/names.ts'
import type { Form, Surroundings } from '../../../src/service/hooks/agent/client.ts'
import { trustLines } from '../../../src/service/hooks/agent/codex.ts'
import { agentStatus, installAgent, uninstallAgent } from '../../../src/service/hooks/agent/service.ts'
import { folder } from '../../support/cli.ts'

let home: string
let root: string
let hook: string

beforeEach(() => {
  home = folder('home-')
  root = folder('root-')
  hook = put(path.join(folder('bin-'), 'hook.cjs'), '')
})

const around = (more: Partial<Surroundings> = {}): Surroundings => ({
  env: { PATH: '/usr/bin:/bin', HOME: home },
  home,
  root,
  commonDir: null,
  program: { node: process.execPath, hook },
  failClosed: false,
  plugin: null,
  ...more,
})

const request = (agent: AgentName, form: Form = 'user', more: Partial<Surroundings> = {}) => ({
  agent,
  form,
  around: around(more),
  dryRun: false,
  beside: false,
})
const install = (agent: AgentName, form: Form = 'user', more: Partial<Surroundings> = {}) => installAgent(request(agent, form, more))
const uninstall = (agent: AgentName, form: Form = 'user', more: Partial<Surroundings> = {}) => uninstallAgent(request(agent, form, more))

/** Every file below the home and the repository, with its content. */
function everything(): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const top of [home, root])
    for (const name of readdirSync(top, { recursive: true, encoding: 'utf8' })) {
      const file = path.join(top, name)
      found[file] = lstatSync(file).isFile() ? readFileSync(file, 'utf8') : 'directory'
    }
  return found
}

function put(file: string, text: string): string {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, text)
  return file
}

const userFile = (agent: AgentName): string => installAgent({ ...request(agent), dryRun: true }).changes[0]!.path
const projectFile = (agent: AgentName): string => installAgent({ ...request(agent, 'project'), dryRun: true }).changes[0]!.path
const json = (file: string) => JSON.parse(readFileSync(file, 'utf8'))

/** Agents whose hooks are entries of a settings file. */
const merging = agentNames.filter(agent => agent !== 'opencode')

describe.each(agentNames)('%s', agent => {
  for (const form of ['user', 'project'] as const) {
    it(`is installed (${form}), is wired completely, and leaves nothing behind when it is taken out`, () => {
      const before = everything()
      expect(install(agent, form).changes.map(({ change }) => change)).toEqual(['created'])
      const status = agentStatus(agent, around())
      expect(status.wirings.map(({ form, state }) => [form, state])).toEqual([[form, 'complete']])
      uninstall(agent, form)
      expect(everything()).toEqual(before)
    })
  }

  it('is changed by nothing when it is installed again', () => {
    install(agent)
    const before = everything()
    const again = install(agent)
    expect(again.changes.map(({ change, diff }) => [change, diff])).toEqual([['unchanged', '']])
    expect(everything()).toEqual(before)
  })

  it('shows what would change, and changes nothing, when it is only asked', () => {
    const before = everything()
    const answer = installAgent({ ...request(agent), dryRun: true })
    expect(answer.changes[0]!.diff).toContain('before-tool')
    expect(everything()).toEqual(before)
  })

  it('is brought up to date when the installation has moved, and is still taken out to the byte', () => {
    const before = everything()
    install(agent, 'user', { program: { node: '/old/node', hook: '/old/hook.cjs' } })
    expect(agentStatus(agent, around()).wirings[0]!.state).toBe('outdated')
    install(agent)
    expect(readFileSync(userFile(agent), 'utf8')).not.toContain('/old/')
    expect(agentStatus(agent, around()).wirings[0]!.state).toBe('complete')
    uninstall(agent)
    expect(everything()).toEqual(before)
  })

  it('finds what a space, a quote or a dollar sign in a path would break', () => {
    const hook = "/it's a $HOME/`x`/hook.cjs"
    install(agent, 'user', { program: { node: process.execPath, hook } })
    expect(agentStatus(agent, around({ program: { node: process.execPath, hook } })).wirings[0]!.state).toBe('complete')
  })
})

describe.each(merging)('the settings of %s', agent => {
  const others: Record<string, string> = {
    'two blanks': '{\n  "theme": "dark",\n  "hooks": {\n    "Elsewhere": [\n      { "hooks": [] }\n    ]\n  }\n}\n',
    'tabs and no newline at the end': '{\n\t"theme": "dark",\n\t"hooks": {}\n}',
    'one line': '{"b":1,"a":[1,2,{"x":null}]}',
    'Windows line ends': '{\r\n    "theme": "dark"\r\n}\r\n',
    'an empty object': '{}',
    'an odd hand': '{ "a" : 1\n   , "hooks" :\n { "Elsewhere":[] }}\n\n\n',
    nothing: '',
  }
  for (const [name, text] of Object.entries(others)) {
    it(`are merged into and restored to the byte: ${name}`, () => {
      const file = put(userFile(agent), text)
      install(agent)
      const value = json(file)
      if (text !== '') expect(value).toMatchObject(JSON.parse(text))
      const kept = text
        .split(/\r?\n/)
        .map(line => line.replace(/[\s{}\],]*$/, ''))
        .filter(line => line !== '')
      for (const line of kept) expect(readFileSync(file, 'utf8')).toContain(line)
      expect(agentStatus(agent, around()).wirings[0]!.state).toBe('complete')
      const installed = readFileSync(file, 'utf8')
      expect(installed.includes('\r\n')).toBe(text.includes('\r\n'))
      expect(/(?<!\r)\n/.test(installed), 'newlines of one kind').toBe(!text.includes('\r\n') && name !== 'one line')
      uninstall(agent)
      expect(readFileSync(file, 'utf8')).toBe(text)
    })

    it(`lose only our entries when somebody changed them meanwhile: ${name}`, () => {
      const file = put(userFile(agent), text)
      install(agent)
      writeFileSync(file, JSON.stringify({ ...json(file), added: { by: 'a person' } }, null, 3))
      uninstall(agent)
      const expected = text === '' ? {} : JSON.parse(text)
      const left = json(file)
      expect(left).toEqual({ ...expected, ...(text === '' && 'version' in left ? { version: 1 } : {}), added: { by: 'a person' } })
    })

    it(`lose only our entries where nothing is remembered: ${name}`, () => {
      if (text === '') return
      const file = put(userFile(agent), text)
      const had = JSON.parse(text)
      install(agent, 'user', { env: { XDG_STATE_HOME: path.join(home, 'state') } })
      uninstall(agent)
      const left = json(file)
      // A list or an object that is empty may go: nobody remembers whether it was there.
      expect({ ...left, hooks: undefined }).toEqual({ ...had, hooks: undefined })
      expect(readFileSync(file, 'utf8')).not.toContain('before-tool')
    })
  }

  it('keep a change of a person to the byte, beside taking our entries out', () => {
    const text = '{\n  "theme":   "dark",\n\n  "list": [1,2,\n    3]\n}\n'
    const file = put(userFile(agent), text)
    install(agent)
    writeFileSync(file, readFileSync(file, 'utf8').replace('"dark"', '"light"'))
    uninstall(agent)
    expect(readFileSync(file, 'utf8')).toBe(text.replace('"dark"', '"light"'))
  })

  it.each([
    ['a comma too many', '{\n  "a": 1,\n  "b": 2,\n}\n', 4],
    ['cut short', '{\n  "a": 1,\n  "b": ', 3],
    ['a list', '\n[1]\n', 2],
    ['hooks that are no object', '{\n  "a": 1,\n  "hooks": []\n}\n', 3],
    ['an event that is no list', '{\n  "hooks": {\n    "Stop": {}\n  }\n}\n', 3],
    ['hooks twice', '{\n  "hooks": {},\n  "hooks": {}\n}\n', 3],
  ])('are left alone when they are broken, and the line is named: %s', (_, text, line) => {
    const file = put(userFile(agent), text)
    expect(() => install(agent)).toThrow(expect.objectContaining({ code: 'usage', message: expect.stringContaining(`${file}:${line}: `) }))
    expect(() => uninstall(agent)).toThrow(expect.objectContaining({ code: 'usage' }))
    expect(readFileSync(file, 'utf8')).toBe(text)
    expect(agentStatus(agent, around())).toMatchObject({ fires: false, wirings: [{ state: 'broken' }] })
  })

  it('are changed where a symbolic link leads, and the link stays', () => {
    const real = put(path.join(root, 'dotfiles', 'settings.json'), '{"a":1}\n')
    const link = userFile(agent)
    mkdirSync(path.dirname(link), { recursive: true })
    symlinkSync(real, link)
    install(agent)
    expect(lstatSync(link).isSymbolicLink()).toBe(true)
    expect(readFileSync(real, 'utf8')).toContain('before-tool')
    uninstall(agent)
    expect(readFileSync(real, 'utf8')).toBe('{"a":1}\n')
  })

  it('keep their mode', () => {
    const file = put(userFile(agent), '{}\n')
    chmodSync(file, 0o600)
    install(agent)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    chmodSync(file, 0o664)
    uninstall(agent)
    expect(statSync(file).mode & 0o777).toBe(0o664)
  })

  it('are an error in status when the lock is taken and never given back', () => {
    const file = userFile(agent)
    install(agent)
    const value = json(file)
    for (const event of Object.keys(value.hooks))
      if (/ (?:stop|session-end) --agent/.test(JSON.stringify(value.hooks[event]))) delete value.hooks[event]
    writeFileSync(file, JSON.stringify(value))
    const status = agentStatus(agent, around())
    expect(status.fires).toBe(false)
    expect(status.findings).toContainEqual(
      expect.objectContaining({ severity: 'error', message: expect.stringContaining('never given back') }),
    )
  })

  it.each([
    'lh hook EVENT --agent AGENT && ./mine.sh',
    'FOO=1 lh hook EVENT --agent AGENT | tee log',
    'lh hook EVENT --agent AGENT; other',
  ])('keep a line of their user that does more than call us: %s', line => {
    const wanted = json(install(agent).changes[0]!.path).hooks as Record<string, [{ hooks?: unknown[] }]>
    uninstall(agent)
    const lineOf = (event: string) => line.replace('AGENT', agent).replace('EVENT', event)
    const [on] = Object.entries(wanted).find(([, list]) => JSON.stringify(list).includes('before-tool'))!
    const text = JSON.stringify(
      {
        hooks: {
          [on]: [
            wanted[on]![0].hooks === undefined
              ? { command: lineOf('before-tool') }
              : { hooks: [{ type: 'command', command: lineOf('before-tool') }] },
          ],
        },
      },
      null,
      2,
    )
    const file = put(userFile(agent), text)
    const installed = install(agent)
    expect(installed.next.filter(step => step.startsWith(`${file}:`))).toEqual([
      expect.stringContaining(`your line ${JSON.stringify(lineOf('before-tool'))} calls Leasehold too`),
    ])
    expect(readFileSync(file, 'utf8')).toContain(JSON.stringify(lineOf('before-tool')))
    const status = agentStatus(agent, around())
    expect(status).toMatchObject({ wirings: [{ state: 'complete' }] })
    expect(status.findings.filter(({ message }) => message.includes('of your own'))).toMatchObject([{ severity: 'note', path: file }])
    const out = uninstall(agent)
    expect(out.next).toEqual([expect.stringContaining('still calls Leasehold')])
    expect(readFileSync(file, 'utf8')).toBe(text)
    // Also where nothing is remembered, and where there is nothing else.
    const forgotten = { env: { PATH: '/usr/bin:/bin', XDG_STATE_HOME: path.join(home, 'state') } }
    install(agent, 'user', forgotten)
    uninstall(agent)
    expect(json(file)).toEqual(JSON.parse(text))
    expect(install(agent, 'user').changes).toMatchObject([{ change: 'changed' }])
  })

  it('count as wired where lines of their user do all that is needed', () => {
    const file = install(agent).changes[0]!.path
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replaceAll(/(?<="(?:command|bash)": )"if .*"|(?<=^ *)"if .*"/gm, found => {
        const [, call] = /exec lh hook ([a-z-]+ --agent [a-z]+)/.exec(found)!
        return JSON.stringify(`lh hook ${call} && ./mine.sh`)
      }),
    )
    expect(agentStatus(agent, around())).toMatchObject({ wirings: [{ state: 'outdated', missing: [] }] })
    expect(agentStatus(agent, around()).findings.some(({ message }) => message.includes('a line of your own calls Leasehold'))).toBe(true)
    const text = readFileSync(file, 'utf8')
    uninstall(agent)
    expect(readFileSync(file, 'utf8')).toBe(text)
  })

  it('keep the hook of somebody who put it into our group', () => {
    const file = userFile(agent)
    install(agent)
    const value = json(file)
    const [event, [group]] = Object.entries(value.hooks)[0] as [string, [{ hooks?: unknown[] }]]
    if (group.hooks === undefined) return
    group.hooks.push({ type: 'command', command: 'mine' })
    writeFileSync(file, JSON.stringify(value))
    uninstall(agent)
    expect(json(file).hooks).toEqual({ [event]: [{ hooks: [{ type: 'command', command: 'mine' }] }] })
  })
})

describe('comments', () => {
  it.each(['gemini', 'qwen'] as const)('stay in the settings of %s, which reads them', agent => {
    const text = '// mine\n{\n  /* a */ "theme": "dark", // why\n  "hooks": {\n    // none yet\n  }\n}\n'
    const file = put(userFile(agent), text)
    install(agent)
    for (const comment of ['// mine', '/* a */', '// why', '// none yet']) expect(readFileSync(file, 'utf8')).toContain(comment)
    expect(agentStatus(agent, around()).wirings[0]!.state).toBe('complete')
    writeFileSync(file, readFileSync(file, 'utf8').replace('// mine', '// mine, and theirs'))
    uninstall(agent)
    expect(readFileSync(file, 'utf8')).toBe(text.replace('// mine', '// mine, and theirs'))
  })

  it.each(['claude', 'codex'] as const)('make %s read nothing of the file, and are reported with their line', agent => {
    const text = '{\n  "a": 1 // mine\n}\n'
    const file = put(userFile(agent), text)
    expect(() => install(agent)).toThrow(expect.objectContaining({ code: 'usage', message: expect.stringContaining(`${file}:2: `) }))
    expect(readFileSync(file, 'utf8')).toBe(text)
  })

  it('are no reason to write a byte order mark where it stops the agent', () => {
    for (const agent of ['codex', 'gemini'] as const) {
      put(userFile(agent), '\uFEFF{}')
      expect(() => install(agent)).toThrow(/byte order mark/)
    }
    const file = put(userFile('claude'), '\uFEFF{}')
    install('claude')
    expect(readFileSync(file, 'utf8').startsWith('\uFEFF{')).toBe(true)
    uninstall('claude')
    expect(readFileSync(file, 'utf8')).toBe('\uFEFF{}')
  })
})

describe('however a file is written', () => {
  const elsewhere = { program: { node: '/elsewhere/node', hook: '/elsewhere/hook.cjs' } }
  const group = (command: string) => ({ matcher: 'Bash', hooks: [{ type: 'command', command }] })
  const hooksThere = fc.constantFrom<Record<string, unknown> | null>(
    null,
    {},
    { Stop: [] },
    { Elsewhere: [], Stop: [] },
    { Stop: [group('true')] },
    { PreToolUse: [group('a, ]}'), group('// b')], Stop: [{ hooks: [] }] },
    { BeforeTool: [group('a'), group('b')], SessionStart: [group('c')], Elsewhere: [group('d')] },
  )
  const settings = fc.tuple(hooksThere, fc.constantFrom('first', 'last', 'between')).map(([hooks, place]) => {
    const had = hooks === null ? {} : { hooks }
    if (place === 'first') return { ...had, model: 'opus' }
    return place === 'last' ? { model: 'opus', list: [1, {}], ...had } : { model: 'opus', ...had, list: [] }
  })

  /** JSON with something between its words; each comment has a number. */
  function spread(value: unknown, gaps: readonly string[]): string {
    let at = 0
    const words = JSON.stringify(value).match(/"(?:[^"\\]|\\.)*"|[^"{}[\],:]+|./g)!
    const gap = () => gaps[at++ % gaps.length]!.replace('#', `#${at};`)
    return gap() + words.map(word => word + gap()).join('')
  }
  const gapsOf = (...gaps: string[]) => fc.array(fc.constantFrom(...gaps), { minLength: 1, maxLength: 40 })
  const plain = ['', ' ', '\n', '\n  ', '\t', '\r\n    ']
  const comments = ['/*#,*/', ' /* ]# */ ', ' // #, }\n', '\n// #\n  ', '// #\r\n']
  const formats = (gaps: readonly string[]) =>
    fc.oneof(
      fc
        .tuple(fc.constantFrom('', '  ', '    ', '\t'), fc.boolean(), fc.constantFrom('', '\n', '\n\n'))
        .map(([indent, windows, end]) => (value: unknown) => {
          const text = JSON.stringify(value, null, indent) + end
          return windows ? text.replaceAll('\n', '\r\n') : text
        }),
      fc.constant((value: unknown) => JSON.stringify(value).replaceAll(/[,:{[]/g, '$& ')),
      gapsOf(...gaps).map(gaps => (value: unknown) => spread(value, gaps)),
    )

  type Value = Record<string, unknown>
  /** What somebody does to the text meanwhile, or to its value, which is then written anew. */
  const edits = fc.oneof(
    fc.constantFrom<(text: string) => string>(
      text => text,
      text => text.replace('"opus"', '"sonnet"'),
      text => text.replace(/\}\s*$/, ',"more":[]}'),
    ),
    fc
      .tuple(
        fc.constantFrom<(value: Value) => void>(
          () => {},
          value => (value['model'] = 'sonnet'),
          value => delete value['list'],
          value => ((value['hooks'] as Value)['Late'] = [group('late')]),
        ),
        fc.constantFrom(0, 3, '\t'),
      )
      .map(([change, indent]) => (text: string) => {
        const value = JSON.parse(JSON.stringify(parse(text)))
        change(value)
        return JSON.stringify(value, null, indent)
      }),
  )
  const ways = fc.record({ edit: edits, moved: fc.constantFrom('never', 'first', 'then', 'twice'), forgotten: fc.boolean() })

  const isOurs = (value: unknown) => /(?:before-tool|after-tool|refresh|stop|session-start|session-end) --agent/.test(JSON.stringify(value))
  const withoutEmpty = ({ hooks, ...rest }: Value): unknown => {
    const left = Object.entries((hooks ?? {}) as Value).filter(([, list]) => (list as unknown[]).length > 0)
    return left.length === 0 ? rest : { ...rest, hooks: Object.fromEntries(left) }
  }
  const plainValue = (text: string) => JSON.parse(JSON.stringify(parse(text))) as Value
  const numbers = (text: string) => (text.match(/#\d+;/g) ?? []).toSorted()

  it.each([
    ['claude', plain],
    ['codex', plain],
    ['gemini', [...plain, ...comments]],
    ['qwen', [...plain, ...comments]],
  ] as const)('%s: our entries go, all else stays, and without a change of others every byte', (agent, gaps) => {
    const file = userFile(agent)
    fc.assert(
      fc.property(settings, formats(gaps), ways, (value, format, { edit, moved, forgotten }) => {
        const text = format(value)
        rmSync(path.join(home, '.local'), { recursive: true, force: true })
        put(file, text)
        install(agent)
        if (moved === 'first' || moved === 'twice') install(agent, 'user', elsewhere)
        const installed = readFileSync(file, 'utf8')
        expect(numbers(installed)).toEqual(numbers(text))
        const edited = edit(installed)
        writeFileSync(file, edited)
        if (moved === 'then' || moved === 'twice') install(agent)
        if (forgotten) rmSync(path.join(home, '.local'), { recursive: true, force: true })
        uninstall(agent)
        const left = readFileSync(file, 'utf8')
        if (edited === installed && !forgotten) expect(left).toBe(text)
        expect(numbers(left)).toEqual(numbers(edited))
        // What was edited, without ours; lists that were empty before have stayed so.
        const expected = plainValue(edited)
        const hooks = expected['hooks'] as Record<string, unknown[]>
        for (const [event, list] of Object.entries(hooks)) hooks[event] = list.filter(entry => !isOurs(entry))
        expect(withoutEmpty(plainValue(left))).toEqual(withoutEmpty(expected))
        if (forgotten || numbers(text).length > 0) return
        for (const [event, list] of Object.entries(hooks))
          if (list.length === 0 && (value as Value & { hooks?: Value }).hooks?.[event] === undefined) delete hooks[event]
        if (Object.keys(hooks).length === 0 && !('hooks' in value)) delete expected['hooks']
        expect(plainValue(left)).toEqual(expected)
      }),
      { numRuns: 60 },
    )
  })

  it.each([
    '{\n  "model": "opus",\n  "hooks": {\n    "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "echo hi"}]}]\n  }\n}\n',
    '{"model":"opus","hooks":{"Stop":[{"hooks":[{"type":"command","command":"true"}]}]}}',
    '{"model":"opus","hooks":{}}',
    '{ "model": "opus", "hooks": { } }\n',
    '{\n  "hooks": {},\n  "model": "opus"\n}\n',
    '{\n  "model": "opus"\n}',
  ])('another value that somebody changed is all that is another: %s', text => {
    for (const again of [false, true]) {
      const file = put(userFile('claude'), text)
      install('claude')
      if (again) install('claude', 'user', elsewhere)
      writeFileSync(file, readFileSync(file, 'utf8').replace('"opus"', '"sonnet"'))
      if (again) install('claude')
      uninstall('claude')
      expect(readFileSync(file, 'utf8')).toBe(text.replace('"opus"', '"sonnet"'))
    }
  })

  it.each(['{}', '{ }', '{\n}\n', '{\n  "hooks": {\n  }\n}\n'])('what was empty is empty as it was: %j', text => {
    const file = put(userFile('claude'), text)
    install('claude')
    writeFileSync(file, `\n${readFileSync(file, 'utf8')}\n`)
    uninstall('claude')
    expect(readFileSync(file, 'utf8')).toBe(`\n${text}\n`)
  })

  it('a file that was ours alone goes, also when it was written anew and the installation has moved', () => {
    const before = everything()
    const { path: file } = install('claude').changes[0]!
    writeFileSync(file, JSON.stringify(json(file)))
    install('claude', 'user', elsewhere)
    uninstall('claude')
    expect(everything()).toEqual(before)
  })

  it('two lists of hooks in one entry are reported: nobody could say which is read', () => {
    const text = '{\n  "hooks": {\n    "Stop": [\n      { "hooks": [],\n        "hooks": [] }\n    ]\n  }\n}\n'
    const file = put(userFile('claude'), text)
    expect(() => install('claude')).toThrow(expect.objectContaining({ code: 'usage', message: expect.stringContaining(`${file}:5: `) }))
    expect(readFileSync(file, 'utf8')).toBe(text)
  })
})

describe('time-outs', () => {
  it('are three seconds in the unit of each agent', () => {
    const found = Object.fromEntries(
      merging.map(agent => {
        const file = installAgent({ ...request(agent), beside: true }).changes[0]!.path
        return [agent, new Set(readFileSync(file, 'utf8').match(/"timeout(?:Sec)?": \d+/g))]
      }),
    )
    const [seconds, ms] = [new Set(['"timeout": 3']), new Set(['"timeout": 3000'])]
    expect(found).toEqual({ claude: seconds, codex: seconds, cursor: seconds, gemini: ms, qwen: ms, copilot: new Set(['"timeoutSec": 3']) })
  })
})

describe('what is left to do', () => {
  it.each(agentNames)('of what %s reads in a repository is to commit it', agent => {
    const { changes, next } = installAgent({ ...request(agent, 'project'), beside: true })
    expect(next).toContainEqual(expect.stringContaining(`commit ${path.relative(root, changes[0]!.path)}`))
    expect(install(agent).next.join('\n')).not.toContain('commit ')
  })
})

describe('fail closed', () => {
  it('is told to Claude Code alone, for the hook that can block alone', () => {
    for (const agent of merging) {
      const file = installAgent({ ...request(agent, 'user', { failClosed: true }), beside: true }).changes[0]!.path
      const found = readFileSync(file, 'utf8').match(/"(?:onFailure|failClosed)": \S+/g)
      expect(found, agent).toEqual(agent === 'claude' ? ['"onFailure": "block"'] : null)
    }
    expect(json(userFile('claude')).hooks.PreToolUse[0].hooks[0].onFailure).toBe('block')
  })

  it('is compared with what is installed', () => {
    install('claude')
    const { findings } = agentStatus('claude', around({ failClosed: true }))
    expect(findings.map(({ message }) => message)).toContainEqual(expect.stringContaining('without onFailure'))
  })
})

describe('what keeps hooks from running', () => {
  const obstacles = (agent: AgentName) => agentStatus(agent, around()).findings.filter(({ severity }) => severity === 'error')

  it.each(['.claude/settings.json', '.claude/settings.local.json'])(
    'disableAllHooks in %s of the repository is found, with its line',
    name => {
      install('claude')
      const file = put(path.join(root, name), '{\n  "disableAllHooks": true\n}\n')
      expect(agentStatus('claude', around()).fires).toBe(false)
      expect(obstacles('claude')).toContainEqual(expect.objectContaining({ path: file, line: 2 }))
    },
  )

  it('a hook of an unknown type beside ours is found, because Claude Code then runs none of that event', () => {
    const file = put(userFile('claude'), '{\n  "hooks": {\n    "Stop": [\n      { "hooks": [{ "type": "tune" }] }\n    ]\n  }\n}\n')
    install('claude')
    expect(obstacles('claude')).toContainEqual(expect.objectContaining({ path: file, line: 4, message: expect.stringContaining('"tune"') }))
  })

  it('Codex is not said to run hooks that nobody has trusted', () => {
    install('codex')
    expect(agentStatus('codex', around()).fires).toBe(false)
    expect(obstacles('codex')[0]!.message).toContain('/hooks')
    const file = userFile('codex')
    const trust = trustLines({ path: file, text: readFileSync(file, 'utf8'), dialect: 'json' })
    const config = put(path.join(home, '.codex', 'config.toml'), trust)
    expect(agentStatus('codex', around()).fires).toBe(true)
    writeFileSync(config, trust.replace(/:pre_tool_use:0:0"\]\n/, '$&enabled = false\n'))
    expect(obstacles('codex')[0]!.message).toContain('that is: PreToolUse.')
    writeFileSync(config, trust)
    install('codex', 'user', { program: { node: process.execPath, hook: '/elsewhere/hook.cjs' } })
    expect(obstacles('codex').at(-1)!.message, 'another line needs another word').toContain('PreToolUse')
    writeFileSync(config, `[features]\nhooks = false\n\n${trust}`)
    install('codex')
    expect(obstacles('codex')).toMatchObject([{ line: 2 }])
  })

  it('hooks that Codex has switched off are found, however that is written, and in the project', () => {
    install('codex')
    const file = userFile('codex')
    const trust = trustLines({ path: file, text: readFileSync(file, 'utf8'), dialect: 'json' })
    const config = put(path.join(home, '.codex', 'config.toml'), trust)
    for (const off of [
      'features.hooks = false',
      'features = { multi_agent = true, hooks=false }',
      `["features"]\n"hooks" = false`,
      '[features] # of mine\ncodex_hooks = false',
    ]) {
      writeFileSync(config, `${off}\n${trust}`)
      expect(obstacles('codex'), off).toMatchObject([{ path: config, line: off.split('\n').length }])
    }
    for (const on of [
      '#features.hooks = false',
      '[features]\nhooks = true',
      '[profiles.a.features]\nhooks = false',
      '[[features.x]]\nhooks = false',
    ]) {
      writeFileSync(config, `${on}\n${trust}`)
      expect(agentStatus('codex', around()).fires, on).toBe(true)
    }
    writeFileSync(config, trust)
    const project = put(path.join(root, '.codex', 'config.toml'), '[features]\nhooks = false\n')
    expect(obstacles('codex')).toMatchObject([{ path: project, line: 2 }])
    writeFileSync(project, '')
    rmSync(config)
    mkdirSync(config)
    expect(obstacles('codex')).toContainEqual(expect.objectContaining({ path: config, message: expect.stringContaining('cannot read it') }))
  })

  it('a hook of an unknown type anywhere is found, because Codex then reads nothing of the file', () => {
    const file = put(
      userFile('codex'),
      '{\n  "hooks": {\n    "Stop": [\n      { "hooks": [{ "type": "http", "url": "x" }] }\n    ]\n  }\n}\n',
    )
    install('codex')
    expect(obstacles('codex')).toContainEqual(expect.objectContaining({ path: file, line: 4, message: expect.stringContaining('"http"') }))
  })

  it('an environment without HOME is found: there hooks have no place for a lock', () => {
    install('gemini')
    expect(agentStatus('gemini', around({ env: { PATH: '/usr/bin' } }))).toMatchObject({
      fires: false,
      findings: [{ severity: 'error', message: expect.stringContaining('HOME is not set') }],
    })
  })

  it('hooksConfig of Gemini is read in every layer', () => {
    install('gemini')
    const file = put(path.join(root, '.gemini', 'settings.json'), '{\n  "hooksConfig": { "enabled": false }\n}\n')
    expect(obstacles('gemini')).toMatchObject([{ path: file, line: 2 }])
    writeFileSync(file, '{ "hooksConfig": { "disabled": ["leasehold"] } }')
    expect(obstacles('gemini')).toMatchObject([{ path: file, line: 1 }])
  })

  it('an installation that is gone is an error, unless there is lh on PATH', () => {
    const program = { node: process.execPath, hook: path.join(home, 'gone', 'hook.cjs') }
    install('claude', 'user', { program })
    expect(obstacles('claude')).toMatchObject([{ message: expect.stringContaining('gone') }])
    const bin = put(path.join(home, 'bin', 'lh'), '')
    const status = agentStatus('claude', around({ program, env: { PATH: path.dirname(bin), HOME: home } }))
    expect(status.fires).toBe(true)
  })
})

describe('the place of the locks', () => {
  const runtime = () => path.join(home, '.claude', 'runtime')

  it('is looked at: a symbolic link or a file there makes every hook let everything pass', () => {
    install('gemini')
    expect(agentStatus('gemini', around()).fires).toBe(true)
    put(runtime(), '')
    expect(agentStatus('gemini', around())).toMatchObject({
      fires: false,
      findings: [{ path: runtime(), message: expect.stringContaining('not a directory') }],
    })
    rmSync(runtime())
    symlinkSync(root, runtime())
    expect(agentStatus('gemini', around())).toMatchObject({
      fires: false,
      findings: [{ message: expect.stringContaining('symbolic link') }],
    })
  })

  it('tells what failed last, if that is news', () => {
    install('gemini')
    const log = put(path.join(runtime(), 'leasehold-hook.log'), `${new Date().toISOString()} gemini before-tool no such thing\n`)
    expect(agentStatus('gemini', around())).toMatchObject({
      fires: true,
      findings: [{ severity: 'note', message: expect.stringContaining('no such thing') }],
    })
    writeFileSync(log, '2001-01-01T00:00:00.000Z gemini before-tool long ago\n')
    expect(agentStatus('gemini', around()).findings).toEqual([])
  })
})

describe('agents that read the files of others', () => {
  it('Copilot and Cursor are not installed beside hooks in .claude/settings.json', () => {
    install('claude', 'project')
    for (const agent of ['copilot', 'cursor'] as const) {
      const answer = install(agent)
      expect(answer).toMatchObject({ changes: [], coveredBy: projectFile('claude') })
      expect(agentStatus(agent, around())).toMatchObject({ fires: null, coveredBy: projectFile('claude') })
    }
    expect(existsSync(path.join(home, '.copilot'))).toBe(false)
    expect(existsSync(path.join(home, '.cursor'))).toBe(false)
  })

  it('Cursor reads the settings of the user too, Copilot does not', () => {
    install('claude')
    expect(install('cursor').coveredBy).toBe(userFile('claude'))
    expect(install('copilot').coveredBy).toBeNull()
  })

  it('whoever has both is told', () => {
    installAgent({ ...request('cursor'), beside: true })
    const { next } = install('claude')
    expect(next).toContainEqual(expect.stringContaining('lh hooks uninstall cursor'))
    expect(agentStatus('cursor', around()).findings).toContainEqual(
      expect.objectContaining({ severity: 'warning', path: userFile('claude') }),
    )
  })
})

describe('several agents', () => {
  it('leave nothing behind, whichever goes last', () => {
    const before = everything()
    for (const agent of agentNames) installAgent({ ...request(agent), beside: true })
    for (const agent of agentNames) uninstall(agent)
    expect(everything()).toEqual(before)
  })
})

describe('the plugin form', () => {
  it('is a folder that Claude Code loads, and goes without a trace', () => {
    const plugin = path.join(root, 'deep', 'plugin')
    const before = everything()
    install('claude', 'plugin', { plugin })
    expect(json(path.join(plugin, '.claude-plugin', 'plugin.json'))).toMatchObject({ name: 'leasehold' })
    expect(Object.keys(json(path.join(plugin, 'hooks', 'hooks.json')).hooks)).toContain('PreToolUse')
    expect(agentStatus('claude', around({ plugin })).wirings.map(({ state }) => state)).toEqual(['complete', 'complete'])
    uninstall('claude', 'plugin', { plugin })
    expect(everything()).toEqual(before)
  })

  it('does not take over the folder of another plugin', () => {
    const plugin = path.join(root, 'plugin')
    const file = put(path.join(plugin, '.claude-plugin', 'plugin.json'), '{"name":"mine"}')
    expect(() => install('claude', 'plugin', { plugin })).toThrow(expect.objectContaining({ code: 'policy' }))
    expect(everything()[file]).toBe('{"name":"mine"}')
    expect(existsSync(path.join(plugin, 'hooks'))).toBe(false)
  })
})

describe('a file that is ours alone', () => {
  it('is not overwritten when somebody else had the name first, and not removed when somebody changed it', () => {
    const file = put(userFile('opencode'), 'export const Mine = () => ({})\n')
    expect(() => install('opencode')).toThrow(expect.objectContaining({ code: 'policy' }))
    uninstall('opencode')
    expect(readFileSync(file, 'utf8')).toContain('Mine')
  })

  it('is told by status when it is not ours, or not any more: opencode runs it, and nobody knows what it does', () => {
    const file = put(userFile('opencode'), 'export const Mine = () => ({})\n')
    const told = expect.objectContaining({ severity: 'warning', path: file, message: expect.stringContaining('not ours, or was changed') })
    expect(agentStatus('opencode', around())).toMatchObject({ fires: null, wirings: [], findings: [told] })
    rmSync(file)
    install('opencode')
    writeFileSync(file, readFileSync(file, 'utf8').replace('3000', '9000'))
    expect(agentStatus('opencode', around())).toMatchObject({ fires: null, wirings: [], findings: [told] })
  })

  it('is not said to run when what it runs is gone', () => {
    const program = { node: process.execPath, hook: path.join(home, 'gone', 'hook.cjs') }
    install('opencode', 'user', { program })
    expect(agentStatus('opencode', around())).toMatchObject({
      fires: false,
      wirings: [{ state: 'outdated' }],
      findings: [{ severity: 'error', message: expect.stringContaining('gone') }, { severity: 'warning' }],
    })
  })

  it('stays when it was changed after the installation', () => {
    const file = install('opencode').changes[0]!.path
    writeFileSync(file, `${readFileSync(file, 'utf8')}// mine\n`)
    expect(() => uninstall('opencode')).toThrow(expect.objectContaining({ code: 'policy' }))
    expect(readFileSync(file, 'utf8')).toContain('// mine')
  })
})
