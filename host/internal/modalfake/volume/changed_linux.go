package volume

import (
	"io/fs"
	"syscall"
	"time"
)

// changed returns when the file or its attributes last changed: unlike the time of modification, no program can set it
// back.
func changed(info fs.FileInfo) time.Time {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(stat.Ctim.Unix())
	}
	return info.ModTime()
}
