// What Redis does in one step. An entry is `<versions of its tags>\n<JSON>`; a tag is a key with a random version. To
// invalidate a tag is to delete its key: whatever was made under that version, and whatever is being made, counts no more.

/**
 * Reads an entry, and says who loads. KEYS: entry, lock, tags.
 * ARGV: stale ms, token, lock ms, version for a new tag, life of a tag in ms, bytes of an entry at the most.
 * Answers [state, JSON, versions, bad]: `hit`, `stale` (another refreshes it), `refresh` (stale: the caller is to),
 * `wait` (none: another loads it), `load` (none: the caller is to). `bad`: what was there is no entry.
 */
export const LOOK = `
  local size = redis.pcall('STRLEN', KEYS[1])
  local bad = (type(size) == 'table' or size > tonumber(ARGV[6])) and 1 or 0
  local entry = bad == 0 and redis.call('GET', KEYS[1])
  local versions = {}
  local known = true
  for i = 3, #KEYS do
    versions[i - 2] = redis.pcall('GET', KEYS[i])
    -- What is no text is no version.
    if type(versions[i - 2]) == 'table' then versions[i - 2] = false end
    if not versions[i - 2] then known = false end
  end
  local value = false
  if entry then
    local at = string.find(entry, '\\n', 1, true)
    if not at then
      bad = 1
    elseif known and string.sub(entry, 1, at - 1) == table.concat(versions, ',') then
      value = string.sub(entry, at + 1)
      local left = redis.call('PTTL', KEYS[1])
      -- That there is none is not given out when it is stale.
      local stale = value == 'null' and 0 or tonumber(ARGV[1])
      if left > stale then return { 'hit', value, '', bad } end
      if left < 0 then value = false; bad = 1 end
    end
  end
  if not redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
    if redis.call('PTTL', KEYS[2]) < 0 then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
    if value then return { 'stale', value, '', bad } end
    return { 'wait', '', '', bad }
  end
  for i = 3, #KEYS do
    if not versions[i - 2] then
      versions[i - 2] = ARGV[4]
      redis.call('SET', KEYS[i], ARGV[4], 'PX', ARGV[5])
    elseif redis.call('PTTL', KEYS[i]) < tonumber(ARGV[5]) then
      redis.call('PEXPIRE', KEYS[i], ARGV[5])
    end
  end
  return { value and 'refresh' or 'load', value or '', table.concat(versions, ','), bad }`

/**
 * Keeps what was loaded, if the lock is still the caller's (it may have been held up: another loads, then) and no tag
 * was invalidated since. KEYS as above. ARGV: token, versions, JSON, life in ms. Answers `stored`, `lost` or `outdated`.
 */
export const STORE = `
  if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 'lost' end
  redis.call('DEL', KEYS[2])
  local versions = {}
  for i = 3, #KEYS do
    local version = redis.pcall('GET', KEYS[i])
    versions[i - 2] = type(version) == 'string' and version or ''
  end
  if table.concat(versions, ',') ~= ARGV[2] then return 'outdated' end
  if tonumber(ARGV[4]) > 0 then redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) end
  return 'stored'`

/** Goes on with a lock, or ends it (0 ms), if it is still the caller's. KEYS: lock. ARGV: token, ms. */
export const HOLD = `
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
  if tonumber(ARGV[2]) == 0 then return redis.call('DEL', KEYS[1]) end
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])`
