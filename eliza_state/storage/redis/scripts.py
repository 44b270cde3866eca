"""What Redis does in one step, in Lua (https://redis.io/docs/latest/develop/programmability/eval-intro/).

The time is the caller's, in its arguments: versions come from one clock whichever server answers. A change is
published before it is made: where publishing is not permitted, nothing is changed.
"""

from __future__ import annotations

import hashlib
from typing import Final

import attrs


@attrs.frozen
class Script:
    """The text of a script, and the hash by which a server that has seen it knows it."""

    text: str
    sha: str = attrs.field(
        init=False,
        default=attrs.Factory(
            lambda self: hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest(),
            takes_self=True,
        ),
    )


_PARSE: Final = """
local function parse(head)
  if #head < 73 or string.sub(head, 1, 3) ~= 'es1' then return nil end
  local entry = {
    gone = string.sub(head, 4, 4) == 'g',
    home = string.sub(head, 5, 5) == 'h',
    version = tonumber(string.sub(head, 6, 21)),
    deadline = tonumber(string.sub(head, 22, 34)),
    ttl = tonumber(string.sub(head, 35, 47)),
  }
  if not (entry.version and entry.deadline and entry.ttl) then return nil end
  return entry
end
local function past(entry, now_ms) return entry.deadline > 0 and entry.deadline <= now_ms end
local function live(entry, now_ms) return not entry.gone and not past(entry, now_ms) end
"""

WRITE: Final = Script(
    _PARSE
    + """
-- KEYS: the key. ARGV: the time in us; how: set, expected, kept (expected, and the deadline stays), fenced,
-- copy; a number: the expected version, or that of a copy; ms until the server drops it, 0: never, kept: ms
-- that it outlives its deadline there; the head before and after the version; the content; the channel to
-- publish on, or nothing. Returns the version, and 1 if it was stored.
-- The rules are `outcome_of` and `deadline_of` in eliza_state/storage/backend.py; `copy` is that of
-- `CacheBackend`.
local now, how, number = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local head = redis.call('GETRANGE', KEYS[1], 0, 72)
local stored = nil
if head ~= '' then
  stored = parse(head)
  if not stored then return redis.error_reply('FOREIGN something else is stored there') end
end
local current = stored and stored.version or 0
local version = number
if how == 'copy' then
  if ARGV[8] ~= '' then
    redis.call('PUBLISH', ARGV[8], string.format('%.0f ', number) .. KEYS[1])
  end
  local gone = string.sub(ARGV[5], 4, 4) == 'g'
  if stored and number < current and (gone or not stored.home) then return {current, 0} end
elseif how == 'fenced' then
  if number <= current then return {current, 0} end
else
  if how == 'expected' or how == 'kept' then
    local alive = (stored and live(stored, math.floor(now / 1000))) and current or 0
    if alive ~= number then return {alive, 0} end
  end
  version = math.max(current + 1, now)
  redis.call('PUBLISH', ARGV[8], string.format('%.0f ', version) .. KEYS[1])
end
local life, after = ARGV[4], ARGV[6]
if how == 'kept' then
  local left = math.max(stored.deadline - math.floor(now / 1000), 1)
  life = stored.deadline > 0 and string.format('%.0f', left + tonumber(life)) or '0'
  after = string.sub(head, 22, 34) .. string.sub(after, 14)
end
local value = ARGV[5] .. string.format('%016.0f', version) .. after .. ARGV[7]
local outcome
if life == '0' then
  outcome = redis.pcall('SET', KEYS[1], value)
else
  outcome = redis.pcall('SET', KEYS[1], value, 'PX', life)
end
if outcome.err then
  -- Out of memory. What the copy would have replaced is older than what is below: it goes.
  if how == 'copy' and stored then redis.call('UNLINK', KEYS[1]) end
  return outcome
end
return {version, 1}
"""
)
"""Store one entry where the rule permits it."""

REMOVE: Final = Script(
    _PARSE
    + """
-- KEYS: any. ARGV: the time in ms; which: all, past (their deadline), copies; the channel to publish on.
-- Returns for each key: 0 left or not there, 1 removed, 2 removed alive.
local now_ms, which = tonumber(ARGV[1]), ARGV[2]
local answers = {}
for i, key in ipairs(KEYS) do
  answers[i] = 0
  local head = redis.pcall('GETRANGE', key, 0, 72)
  local stored = nil
  if type(head) == 'string' then stored = parse(head) end
  if stored then
    if which == 'all' or (which == 'past' and past(stored, now_ms))
      or (which == 'copies' and not stored.home) then
      answers[i] = 1
      if live(stored, now_ms) then
        answers[i] = 2
        if which == 'all' then
          redis.call('PUBLISH', ARGV[3], string.format('%.0f ', stored.version + 1) .. key)
        end
      end
      redis.call('UNLINK', key)
    end
  elseif head ~= '' and which == 'all' then
    answers[i] = 2
    redis.call('UNLINK', key)
  end
end
return answers
"""
)
"""Remove entries."""

TOUCH: Final = Script(
    _PARSE
    + """
-- KEYS: any. ARGV: the time in ms; ms that an entry outlives its deadline on the server.
-- Returns for each key: 0 not alive, 1 alive, -1 something else is stored there.
local now_ms, grace_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local answers = {}
for i, key in ipairs(KEYS) do
  answers[i] = 0
  local head = redis.pcall('GETRANGE', key, 0, 72)
  local stored = nil
  if type(head) == 'string' then stored = parse(head) end
  if stored then
    if live(stored, now_ms) then
      answers[i] = 1
      if stored.ttl > 0 then
        redis.call('SETRANGE', key, 21, string.format('%013.0f', now_ms + stored.ttl))
        -- A copy goes when it is too old, whatever its deadline.
        if stored.home then
          redis.call('PEXPIRE', key, string.format('%.0f', stored.ttl + grace_ms))
        end
      end
    end
  elseif head ~= '' then
    answers[i] = -1
  end
end
return answers
"""
)
"""Roll deadlines on."""
