
-- Part of release that looks at no queue, behind what says whether it is the owner's.
  if not why then
    local done = pcall('DEL', lock)
    if type(done) == 'table' then why = done.err end
  end
  if why then
    failures[#failures + 1] = i
    failures[#failures + 1] = why
  end
end
return failures
