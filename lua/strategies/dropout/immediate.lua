-- All chosen devices at once: at(k) = 0.
return {
  doc = "all chosen devices at once",
  settings = {},
  new = function()
    return function()
      return 0
    end
  end,
}
