"""What Redis itself runs for the bus, so that a lead is checked and used in one step.

Owns the fencing: a source's epoch is its token, and nothing is written under an older one.
"""

SCRIPTS = {
    # KEYS lease, epoch, writes · ARGV owner, ttl ms, own epoch, clock → the new epoch, or 0 when somebody else leads
    "acquire": """
        local owner = redis.call('GET', KEYS[1])
        if owner and owner ~= ARGV[1] then return 0 end
        local stored = tonumber(redis.call('GET', KEYS[2]) or '0')
        local epoch = math.max(stored, tonumber(ARGV[3]), tonumber(ARGV[4])) + 1
        redis.call('SET', KEYS[2], epoch)
        redis.call('SET', KEYS[3], 0)
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return epoch
    """,
    # KEYS lease, epoch, writes · ARGV owner, ttl ms, epoch, writes → 1, 0 when fenced, -1 when Redis forgot
    "renew": """
        local stored = redis.call('GET', KEYS[2])
        if not stored then return -1 end
        if stored ~= ARGV[3] then return 0 end
        if tonumber(redis.call('GET', KEYS[3]) or '0') < tonumber(ARGV[4]) then return -1 end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return 1
    """,
    "release": "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
    # KEYS epoch, writes, last values, wanted version, books
    # ARGV epoch, where the books begin, symbol, record, …, symbol, book or nothing, …
    # → {1, version}, {0} fenced, {-1} forgotten
    "write": """
        local stored = redis.call('GET', KEYS[1])
        if not stored then return {-1} end
        if stored ~= ARGV[1] then return {0} end
        redis.call('INCR', KEYS[2])
        local books = tonumber(ARGV[2])
        for i = 3, books - 1, 1000 do
            redis.call('HSET', KEYS[3], unpack(ARGV, i, math.min(i + 999, books - 1)))
        end
        for i = books, #ARGV, 2 do
            if ARGV[i + 1] == '' then redis.call('HDEL', KEYS[5], ARGV[i])
            else redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 1]) end
        end
        return {1, tonumber(redis.call('GET', KEYS[4]) or '0')}
    """,
    # KEYS epoch, hash · ARGV epoch, field, value, … → 1, 0 fenced, -1 forgotten
    "keep": """
        local stored = redis.call('GET', KEYS[1])
        if not stored then return -1 end
        if stored ~= ARGV[1] then return 0 end
        for i = 2, #ARGV, 1000 do
            redis.call('HSET', KEYS[2], unpack(ARGV, i, math.min(i + 999, #ARGV)))
        end
        return 1
    """,
    # KEYS epoch, list · ARGV epoch, how many to keep, event → 1, 0 fenced, -1 forgotten
    "account": """
        local stored = redis.call('GET', KEYS[1])
        if not stored then return -1 end
        if stored ~= ARGV[1] then return 0 end
        redis.call('LPUSH', KEYS[2], ARGV[3])
        redis.call('LTRIM', KEYS[2], 0, ARGV[2] - 1)
        return 1
    """,
}
