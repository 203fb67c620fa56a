import { deflateRawSync } from 'node:zlib'
import t from 'tap'
import { fileName } from '../../services/file-names.ts'
import { fileKind, textReader } from '../../services/file-types.ts'
import { PDF, PNG } from '../helpers/uploads.ts'

const any = ['image/*', 'text/*', 'application/*', 'audio/*', 'video/*']
const typeOf = async (content: string | Buffer, said?: string, allowed = any) => (await fileKind(Buffer.from(content), said, allowed).catch(error => ({ type: error.code }))).type

t.test('the bytes say what a file is', async t => {
  for (const said of [undefined, '', 'application/octet-stream', 'image/png', 'IMAGE/PNG', 'image/x-png', 'image/png; name=x', 'not a type']) t.equal(await typeOf(PNG, said), 'image/png', String(said))
  t.equal(await typeOf(PDF), 'application/pdf')
  t.equal(await typeOf(Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16, 0x4a, 0x46, 0x49, 0x46]), 'image/jpg'), 'image/jpeg')
  t.equal(await typeOf('<?xml version="1.0"?><a/>'), 'application/xml')
  t.equal(await typeOf('Héllo\tworld\r\n'), 'text/plain')
  t.equal(await typeOf(Buffer.from([1, 2, 3, 0, 5])), 'application/octet-stream')
})

t.test('what contradicts them is refused', async t => {
  for (const [content, said] of [[PNG, 'image/jpeg'], [PNG, 'text/plain'], ['hello', 'image/png'], ['hello', 'application/pdf'], [PDF, 'application/json'], ['<?xml version="1.0"?><a/>', 'text/csv'],
    [Buffer.from([0x68, 0, 0x69]), 'text/plain'], [Buffer.from([0xff, 0xfe, 0x68, 0]), 'text/plain'], ['MZ\x90\0\x03', 'text/plain'], [Buffer.from('a\xe9b', 'latin1'), 'text/csv']] as const) {
    t.equal(await typeOf(content as Buffer, said), 'FILE_TYPE_MISMATCH', `${said} for ${JSON.stringify(String(content).slice(0, 12))}`)
  }
})

t.test('which text a text is says the client', async t => {
  for (const type of ['text/plain', 'text/csv', 'application/json', 'text/markdown', 'application/yaml']) t.equal(await typeOf('a,b\n', type), type)
  t.equal(await typeOf('<?xml version="1.0"?><svg/>', 'image/svg+xml'), 'image/svg+xml')
  t.equal(await typeOf('<?xml version="1.0"?><a/>', 'text/plain'), 'text/plain')
  t.equal(await typeOf('{}', 'text/json; charset=utf-8'), 'application/json')
})

t.test('only what is allowed is taken', async t => {
  t.equal(await typeOf(PNG, undefined, ['image/png']), 'image/png')
  t.equal(await typeOf(PNG, undefined, ['image/*']), 'image/png')
  for (const allowed of [['image/jpeg'], ['text/*'], ['image/pn'], []]) t.equal(await typeOf(PNG, 'image/png', allowed), 'UNSUPPORTED_FILE_TYPE')
  t.equal(await typeOf('<script>', 'text/html', ['text/plain']), 'UNSUPPORTED_FILE_TYPE')
  t.equal(await typeOf(Buffer.from([1, 0]), undefined, ['text/plain']), 'UNSUPPORTED_FILE_TYPE')
})

t.test('an office document is told from a zip by what is in it', async t => {
  const types = '<?xml version="1.0"?><Types><Override ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
  t.equal(await typeOf(zipOf('[Content_Types].xml', types)), 'application/vnd.openxmlformats-officedocument.wordprocessingml.document')
  t.equal(await typeOf(zipOf('a.txt', 'hello')), 'application/zip')
  t.equal(await typeOf(zipOf('a.txt', 'hello'), 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'), 'FILE_TYPE_MISMATCH')
})

t.test('bytes that are made to keep a reader busy do not', async t => {
  // A header of ASF with entries of no length; a zip of 20 MB in 20 kB; boxes and chunks that lead nowhere.
  const asf = Buffer.concat([Buffer.from('3026b2758e66cf11a6d900aa0062ce6c', 'hex'), Buffer.alloc(64 * 1024 - 16)])
  for (const content of [asf, zipOf('[Content_Types].xml', ' '.repeat(20_000_000)), Buffer.concat([Buffer.from([0, 0, 0, 0]), Buffer.from('ftyp')]), Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\0XXXX', 'latin1'), Buffer.alloc(64 * 1024)]) {
    t.type(await typeOf(content), 'string')
  }
})

t.test('text is read in pieces, wherever they are cut', async t => {
  const text = Buffer.from('a € 𝒜 é\n')
  for (let at = 0; at <= text.length; at++) {
    const isText = textReader()
    t.ok(isText(text.subarray(0, at), false) && isText(text.subarray(at), false) && isText(new Uint8Array(), true), String(at))
  }
  const cut = textReader()
  t.ok(cut(Buffer.from('€').subarray(0, 2), false))
  t.notOk(cut(new Uint8Array(), true), 'half a character at the end')
  for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0], [7], [0x1f]]) t.notOk(textReader()(new Uint8Array(bytes), false), String(bytes))
})

t.test('names are made safe', async t => {
  for (const [sent, name] of [
    ['invoice.pdf', 'invoice.pdf'], [undefined, 'file'], ['', 'file'], ['.', 'file'], ['..', 'file'], ['/', 'file'], ['...', 'file'], [' ', 'file'],
    ['../../etc/passwd', 'passwd'], ['..\\..\\boot.ini', 'boot.ini'], ['C:\\Users\\ada\\cv.pdf', 'cv.pdf'], ['/etc/', 'file'], ['.htaccess', 'htaccess'], ['a.txt.', 'a.txt'], ['a.txt. .', 'a.txt'],
    ['a\0b\r\nc\x1b[31m.txt', 'abc[31m.txt'], ['gpj\u202egpj.exe', 'gpjgpj.exe'], ['a\u200bb\ufeff.txt', 'ab.txt'], ['a"b<c>d|e?f*g:h.txt', 'a_b_c_d_e_f_g_h.txt'],
    ['re\u0301sume\u0301.pdf', 'résumé.pdf'], ['日本語.txt', '日本語.txt'], ['\ud800x', '\ufffdx'], ['a   b\t.txt', 'a b.txt']
  ] as const) t.equal(fileName(sent), name, JSON.stringify(sent))
  for (const long of ['é'.repeat(500) + '.jpeg', '👩‍👩‍👧'.repeat(100) + '.jpeg']) {
    const name = fileName(long)
    t.ok(Buffer.byteLength(name) <= 255 && Buffer.byteLength(name) > 200)
    t.match(name, /\.jpeg$/)
    t.ok(long.startsWith(name.slice(0, -5)) && name.isWellFormed())
  }
  t.equal(fileName('x'.repeat(1000)).length, 255)
  t.equal(fileName(`a.${'x'.repeat(1000)}`).length, 255)
})

/** A zip with one entry. */
function zipOf (name: string, text: string): Buffer {
  const [file, data] = [Buffer.from(name), deflateRawSync(text)]
  const head = Buffer.alloc(30)
  head.writeUInt32LE(0x04034b50, 0)
  head.writeUInt16LE(20, 4)
  head.writeUInt16LE(8, 8)
  head.writeUInt32LE(data.length, 18)
  head.writeUInt32LE(text.length, 22)
  head.writeUInt16LE(file.length, 26)
  const entry = Buffer.alloc(46)
  entry.writeUInt32LE(0x02014b50, 0)
  entry.writeUInt16LE(8, 10)
  entry.writeUInt32LE(data.length, 20)
  entry.writeUInt32LE(text.length, 24)
  entry.writeUInt16LE(file.length, 28)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(1, 8)
  end.writeUInt16LE(1, 10)
  end.writeUInt32LE(46 + file.length, 12)
  end.writeUInt32LE(30 + file.length + data.length, 16)
  return Buffer.concat([head, file, data, entry, file, end])
}
