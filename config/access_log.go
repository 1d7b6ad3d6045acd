package config

// AccessLog is where the lines of one listener or one route go, in place of
// log.access.
type AccessLog struct {
	File   string `koanf:"file"`   // off | stdout | stderr | a path
	Format string `koanf:"format"` // json | combined; log.access_format by default
}

// accessLogs calls f for every access log that c asks for, with its key path.
func (c *Config) accessLogs(f func(path string, a *AccessLog)) {
	for i := range c.Listeners {
		if a := c.Listeners[i].AccessLog; a != nil {
			f(joinIndex("listeners", i)+".access_log", a)
		}
	}
	for i := range c.Routes {
		if a := c.Routes[i].AccessLog; a != nil {
			f(joinIndex("routes", i)+".access_log", a)
		}
	}
}

// completeAccessLogs fills in formats and makes paths absolute.
func (c *Config) completeAccessLogs(absolute func(string) string) {
	c.accessLogs(func(_ string, a *AccessLog) {
		if a.Format == "" {
			a.Format = c.Log.AccessFormat
		}
		if !isStream(a.File) {
			a.File = absolute(a.File)
		}
	})
}

// isStream tells whether a log's target is a word and no path.
func isStream(file string) bool { return file == "stdout" || file == "stderr" || file == "off" }

// accessLogFiles checks the access logs: one place has lines of one format.
func (v validator) accessLogFiles(c *Config) {
	type owner struct{ path, format string }
	owners := map[string]owner{}
	if c.Log.Access != "off" {
		owners[c.Log.Access] = owner{"log.access", c.Log.AccessFormat}
	}
	c.accessLogs(func(path string, a *AccessLog) {
		v.oneOf(path+".format", a.Format, "json", "combined")
		switch first, taken := owners[a.File]; {
		case a.File == "":
			v.check(path+".file", "is missing, write off, stdout, stderr or a path")
		case a.File == "off":
		case !taken:
			owners[a.File] = owner{path, a.Format}
		case first.format != a.Format:
			v.check(path+".format", "is %s where %s writes %s to the same file, write the same format or another file", a.Format, first.path, first.format)
		}
	})
}
