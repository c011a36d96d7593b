import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { writtenBy } from '../../../src/service/session-lock/shell-places.ts'
import { reachOf } from '../../../src/service/session-lock/trees.ts'

const there = '/x/s2'
const isIn = (place: string): boolean => place === there || place.startsWith(`${there}/`) || place.startsWith('/x/s/../s2')
const writtenPlaces = (...call: Parameters<typeof writtenBy>): readonly string[] => writtenBy(...call).places
const judged = (command: string): boolean => writtenPlaces(command, '/x/s').some(isIn)

describe('what plainly writes into another worktree', () => {
  it.each([
    'touch /x/s2/f',
    'touch -d yesterday /x/s2/f',
    'touch ../s2/f',
    'touch "/x/s2/f"',
    "touch '/x/s2'/f",
    'touch /x/s2/\\f',
    'touch a /x/s2/f',
    'echo hi > /x/s2/f',
    'echo hi >> /x/s2/f',
    'echo hi >/x/s2/f',
    'echo hi >| /x/s2/f',
    'make &> /x/s2/log',
    'make 2>/x/s2/log',
    'make > log 2>> /x/s2/err',
    '> /x/s2/f',
    'cat <<EOF > /x/s2/f\ntext\nEOF',
    'cat > /x/s2/f <<EOF\ntext\nEOF',
    'echo hi | tee /x/s2/f',
    'echo hi | sudo tee -a /x/s2/f',
    'cp a.txt /x/s2/',
    'cp -r a b /x/s2/c',
    'cp -t /x/s2 a b',
    'cp --target-directory=/x/s2 a b',
    'cp -at /x/s2 a b',
    'mv -ft /x/s2 a',
    'curl -sSLo /x/s2/f https://example.org',
    'wget -qO /x/s2/f https://example.org',
    'make -sC /x/s2',
    'tar -xC /x/s2 -f a.tar',
    'mv a /x/s2/a',
    'mv /x/s2/a a',
    'rm -rf /x/s2',
    'rm -rf /x/s2/*',
    'rm /x/s2/$name',
    'rm -- /x/s2/f',
    '/bin/rm /x/s2/f',
    'mkdir -p /x/s2/d/e',
    'rmdir /x/s2/d',
    'ln -s /x/s/a /x/s2/a',
    'install -m 755 a /x/s2/bin/a',
    'rsync -a src/ /x/s2/src/',
    'chmod +x /x/s2/f',
    'chown -R me /x/s2',
    'truncate -s 0 /x/s2/f',
    "sed -i 's/a/b/' /x/s2/f",
    "sed -i.bak -e 's/a/b/' /x/s2/f",
    "sed -Ei 's/a/b/' /x/s2/f",
    "perl -pi -e 's/a/b/' /x/s2/f",
    'dd if=/dev/zero of=/x/s2/f',
    'find /x/s2 -name a -delete',
    'find /x/s2 -exec rm {} +',
    'tar -xf a.tar -C /x/s2',
    'tar -czf /x/s2/a.tgz .',
    'unzip a.zip -d /x/s2',
    'patch -d /x/s2 -p1 < a.patch',
    'curl -o /x/s2/f https://example.org',
    'cd /x/s2 && touch x',
    'cd ../s2 && touch x',
    'cd .. && rm -rf s2/x',
    '(cd /x/s2; make)',
    'pushd /x/s2 && touch x',
    'make -C /x/s2',
    'make --directory=/x/s2',
    'env -C /x/s2 touch x',
    'env --chdir=/x/s2 touch x',
    'env A=1 touch /x/s2/f',
    'A=1 touch /x/s2/f',
    'npm --prefix /x/s2 i',
    'pnpm -C /x/s2 i',
    'yarn --cwd /x/s2 install',
    'git -C /x/s2 commit -m x',
    'git -C .. -C s2 commit -m x',
    'git --git-dir=/x/s2/.git --work-tree=/x/s2 add .',
    'git --git-dir /x/s2/.git commit',
    'GIT_DIR=../s2/.git git commit',
    'GIT_WORK_TREE=/x/s2 git checkout .',
    'git worktree remove /x/s2',
    "sh -c 'cd /x/s2 && touch x'",
    'bash -lc "touch /x/s2/f"',
    "eval 'touch /x/s2/f'",
    'timeout 5 touch /x/s2/f',
    'nice -n 5 sudo -u me touch /x/s2/f',
    'nohup touch /x/s2/f &',
    'ls | xargs -I{} cp {} /x/s2/',
    'if true; then touch /x/s2/f; fi',
    'for f in a b; do touch /x/s2/f; done',
    'true && { touch /x/s2/f; }',
    "git commit -m \"$(cat <<'EOF'\nit (doesn't\nEOF\n)\" && touch /x/s2/f",
    'echo "$(date)" && touch /x/s2/f',
    'echo ${a} `date` # touch\ntouch /x/s2/f',
    'cd ../s2/*/ && touch z',
    'cd ../s2/$pkg; touch z',
    'git -C ../s2/$pkg commit -m x',
    'find -L /x/s2 -name f -delete',
    'find -H -O3 /x/s2 /x/s -name f -delete',
    'find -D tree -P ../s2 -delete',
    'perl -0777pi -e s/x/y/ ../s2/f',
    'perl -api -e s/x/y/ ../s2/f',
    'perl -spi.bak -e s/x/y/ ../s2/f',
    'sed --in-place=.bak s/x/y/ ../s2/f',
    'export GIT_DIR=../s2/.git; git commit -am x',
    'declare -x GIT_WORK_TREE=/x/s2; git add .',
    'env -C../s2 touch z',
    'env -iC ../s2 touch z',
    'env --chdir ../s2 touch z',
    'sudo -uroot -D../s2 touch z',
    'sudo -ut touch /x/s2/z',
    'timeout --signal KILL 9 touch ../s2/z',
    'timeout --signal=KILL -k5 9 touch ../s2/z',
    'sudo --user me touch ../s2/z',
    'xargs --max-args 1 touch ../s2/z',
    'nice --adjustment 5 touch ../s2/z',
    "bash -ce 'touch ../s2/z'",
    "bash -cx 'touch ../s2/z'",
    "bash -c -e 'touch ../s2/z'",
    "bash -euo pipefail -c 'touch ../s2/z'",
    "bash -o pipefail -c -- 'touch ../s2/z' sh -h",
    "bash --norc +e -c 'touch ../s2/z'",
    "echo $'it\\'s' > ../s2/f",
    "echo $'\\\\' > ../s2/f",
    "touch $'../s2/it\\'s'",
    "touch $'../s\\x32/\\u00e9'",
    "echo \"$(echo $'it\\'s)')\" > ../s2/f",
    'chmod --reference=f ../s2/f',
    'chmod --reference f ../s2/f',
    'chown --reference=f -R ../s2',
    'chmod -x ../s2/f',
  ])('%s', command => expect(judged(command)).toBe(true))
})

describe('what only reads there, or only looks like it', () => {
  it.each([
    'cp /x/s2/a ./a',
    'cp -r /x/s2/a /x/s2/b .',
    'cat /x/s2/a > b',
    'make < /x/s2/a',
    'make <<< /x/s2/a',
    'diff /x/s2/a a || touch b',
    'ln -s /x/s2/a',
    'ln -s /x/s2/a b',
    'rsync -a /x/s2/src/ src/',
    'dd if=/x/s2/a of=b',
    "sed 's/a/b/' /x/s2/a > b",
    'touch -r /x/s2/a b',
    'install -m 755 /x/s2/a b',
    'find /x/s2 -name a > b',
    'tar -cf a.tar -C /x/s2 .',
    'tar -xf /x/s2/a.tar',
    'git -C /x/s2 log > log.txt',
    'git diff --no-index /x/s2/a a; make',
    'node /x/s2/script.js',
    'echo touch /x/s2/f; make',
    "echo '> /x/s2/f'; make",
    'make # touch /x/s2/f',
    'cat <<EOF > a\ntouch /x/s2/f\nEOF',
    "cat <<-'EOF' > a\n\t> /x/s2/f\n\tEOF\nmake",
    'git commit -m "$(cat <<\'EOF\'\ntouch > /x/s2/f\nEOF\n)"',
    "git commit -m 'a\ntouch /x/s2/f'",
    'touch /x/s20/f',
    'chmod --reference=/x/s2/f f',
    'chmod --reference /x/s2/f f',
    'chown --reference /x/s2/f f',
    'find -L /x/s2 -name f',
    'perl -I/x/s2 -e s/x/y/ f',
    'perl -Mstrict -ne print /x/s2/f',
    "sh script -c 'touch /x/s2/f'",
    "bash -e /x/s2/script 'touch /x/s2/f'",
    'xargs --arg-file /x/s2/list touch a',
    'export P=/x/s2/bin; make',
    'echo "$\' > /x/s2/f"; make',
  ])('%s', command => expect(judged(command)).toBe(false))
})

describe('what is written as a whole', () => {
  const base = realpathSync(mkdtempSync(join(tmpdir(), 'lh-trees-')))
  afterAll(() => rmSync(base, { recursive: true }))
  /** Somebody's worktree is `s/in/wt`; a session works in `s`. */
  const [cwd, worktree] = [join(base, 's'), join(base, 's/in/wt')]
  mkdirSync(worktree, { recursive: true })
  mkdirSync(join(base, 'from/in/wt/src'), { recursive: true })
  mkdirSync(join(base, 'from/other'), { recursive: true })
  writeFileSync(join(worktree, 'file'), '')
  symlinkSync('in', join(cwd, 'link'))
  const reached = (command: string, place = worktree): boolean =>
    reachOf(writtenBy(command.replaceAll('/x', base), undefined).trees, cwd)(place)

  it.each([
    'rm -rf in',
    'rm -r in/',
    'rm -R ./in',
    'rm --recursive --force in',
    'rm -fr /x/s',
    'rm -rf ../s',
    'rm -rf *',
    'rm -rf i*',
    'rm -rf /x/s/*',
    'rm -rf in/*',
    'rm -rf link/',
    'rm -rf link/*',
    'cd .. && rm -rf s',
    'cd /x && rm -rf *',
    'sudo -u me rm -rf in',
    "sh -c 'rm -rf in'",
    'true; (cd /x/s; rm -rf in)',
    'mv in elsewhere',
    'mv in /x/elsewhere/',
    'mv -t /x/elsewhere a in',
    'mv a* i* /x/elsewhere',
    'chmod -R go-w .',
    'chmod --recursive 755 in',
    'chmod -R 755 link',
    'chown -R me:us in',
    'chown -hR me .',
    'chgrp -R us /x',
    'find in -delete',
    'find -name a -delete',
    'cd in && find -type f -exec rm {} +',
    'busybox rm -rf in',
    'cp -r ../from/* .',
    'rsync -a ../from/* .',
    'find . -name "*.o" -delete',
    'find -L link -type f -delete',
    'find . -type f -exec rm {} +',
    "find /x -name a -exec sed -i s/a/b/ {} ';'",
    'find . -execdir chmod 600 {} +',
    'find . -maxdepth 5 -type f -delete',
    'cp -r ../from/. .',
    'cp -a ../from/in .',
    'cp -rT ../from .',
    'cp -R -t . ../from/in ../from/other',
    'rsync -a --delete ../empty/ ./',
    'rsync -a --del /x/empty/ in',
    'rsync -a ../from/ .',
    'rsync -r ../from/in .',
    'git clean -ffdx',
    'git clean -f -d -f',
    'git -C /x/s clean --force --force',
    'git worktree remove --force in/wt',
  ])('%s', command => expect(reached(command)).toBe(true))

  it.each([
    'mv a in',
    'mv a b',
    'mv a in/',
    'mv a b in',
    'mv -t in a b',
    'cp a in',
    'cp a in/b',
    'cp -r a in',
    'cp -r ../from/other .',
    'cp -r ../from/other/* .',
    'cp -r "$dir"/* .',
    'cp -r $dir .',
    'rsync -a ../from/other/* .',
    'find -name a',
    'cp -r ../from .',
    'cp -r in elsewhere',
    'cp -a in/wt /x/elsewhere',
    'rsync -a ../from/other/ .',
    'rsync -a --delete in/ ../elsewhere/',
    'rsync -a --delete ../from .',
    'touch in',
    'touch in/a',
    'mkdir -p in/a/b',
    'rm in/a',
    'rm -f in/*',
    'rm -rf a',
    'rm -rf link',
    'rm -rf o*',
    'rm -rf .*',
    'rm -rf in/wt2',
    'rm -rf $dir',
    'rm -rf "$TMPDIR"/*',
    'rmdir in',
    'mv link elsewhere',
    'chmod 755 in',
    'chmod +x in/a',
    'chown me in',
    'chown -R me link',
    'find . -name a',
    'find . -name a -exec grep x {} +',
    'find . -name a -exec cp {} /x/elsewhere +',
    'find . -maxdepth 1 -name "*.tmp" -delete',
    'find link -type f -delete',
    'git clean -fdx',
    'git clean -ffn',
    'git worktree add in/other',
    'git worktree list in/wt',
    'ls -R in',
    'grep -r x in',
    'tar -xf a.tar -C in',
    'echo rm -rf in',
  ])('and not: %s', command => expect(reached(command)).toBe(false))

  it('leaves names that begin with a dot out of a pattern that does not', () => {
    mkdirSync(join(cwd, '.wt/a'), { recursive: true })
    const hidden = join(cwd, '.wt/a')
    expect(['rm -rf *', 'rm -rf .w*', 'rm -rf ./.*', 'rm -rf .', 'mv ?a b'].map(command => reached(command, hidden))).toEqual([
      false,
      true,
      true,
      true,
      false,
    ])
  })

  it('ends where links go in circles', { timeout: 20_000 }, () => {
    symlinkSync('round', join(cwd, 'round'))
    for (const command of ['rm -rf round', 'rm -rf round/', 'chmod -R 755 round/x', 'mv round/* in']) expect(reached(command)).toBe(false)
  })
})

describe('what is not seen', () => {
  it.each([
    'touch $dir/f',
    'cd "$HOME" && touch ../s2/f',
    'touch ~/s2/f',
    'echo $(touch /x/s2/f)',
    'X=/x/s2; touch $X/f',
    "python3 -c \"open('/x/s2/f', 'w')\"",
  ])('%s', command => expect(judged(command)).toBe(false))
})

it('names places as they are written where nobody says where the command runs', () => {
  expect(writtenPlaces('cd /a && make; git -C "/b c" commit; (cd \'/d e\' && x)', undefined).toSorted()).toEqual(['/a', '/b c', '/d e'])
  expect(writtenPlaces('cd sub && make', '/w')).toEqual(['/w/sub'])
  expect(writtenPlaces('cd sub && touch a; echo > b', undefined)).toEqual(['sub', 'sub/a', 'sub/b'])
  expect(writtenPlaces('(cd sub); touch b', undefined)).toEqual(['sub', 'b'])
  expect(writtenPlaces('echo abcd x; cd "$HOME"; cd -; cd $(x); cd ~/y', undefined)).toEqual([])
  expect(writtenPlaces('ls > /dev/null 2>&1', '/w').filter(place => place.startsWith('/dev'))).toEqual([])
})

describe('long commands', () => {
  const long = 'x'.repeat(70_000)

  it.each([
    ['many operands', `rm -f ${Array.from({ length: 1000 }, (_, at) => `sub/${at}`).join(' ')} /x/s2/f`],
    ['a here-document', `cat > /x/s2/f <<'EOF'\n${long}\nEOF`],
    ['something after a here-document', `cat > f <<'EOF'\n${long}\nEOF\ntouch /x/s2/f`],
    ['an argument in quotes', `printf '%s' '${long}' > /x/s2/f`],
    ['an argument in double quotes', `printf '%s' "${long}" > /x/s2/f`],
    ['a plain argument', `echo ${long} > /x/s2/f`],
  ])('are read to their end: %s', (_name, command) => expect(judged(command)).toBe(true))

  it('say where not all of them was looked at', () => {
    const said: string[] = []
    const seen = (command: string): number => writtenPlaces(command, '/w', what => said.push(what)).length
    expect(seen(`touch ${'a '.repeat(5000)}`)).toBe(1)
    expect(said).toEqual([])
    expect(seen(`touch ${Array.from({ length: 5000 }, (_, at) => at).join(' ')}`)).toBe(4096)
    expect(said).toHaveLength(1)
    expect(seen(`touch a; echo ${'x'.repeat(2_000_000)} > b`)).toBe(1)
    expect(said).toHaveLength(2)
    expect(seen(`touch a; echo ${'"$('.repeat(100_000)}`)).toBe(1)
    expect(said).toHaveLength(3)
  })

  it('take no time that grows faster than they do', () => {
    for (const command of [
      'cd a;'.repeat(300_000),
      `tar ${'c'.repeat(900_000)}`,
      `tar '${'c'.repeat(900_000)}'`,
      'touch "a";'.repeat(90_000),
    ])
      expect(writtenPlaces(command, '/w').length).toBeLessThanOrEqual(4096)
  })
})

it('ends with any text', () => {
  const signs = fc.constantFrom(...Array.from('\'"`$(){}<>|&;# \n\\*~/a=-'), 'cd ', 'sh -c ', '<<EOF\n', '$(', '"$(')
  fc.assert(
    fc.property(fc.array(signs, { maxLength: 60 }), parts => Array.isArray(writtenPlaces(parts.join(''), '/w'))),
    { numRuns: 2000 },
  )
})
