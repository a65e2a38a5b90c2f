
-- Part of keep. An id is not behind the server's time, so this deletes nothing.
-- Law: No orphan
if failed then return failed end
redis.pcall('PEXPIREAT', stream, ms + 172800000)
return id
