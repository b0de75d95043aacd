package files

import (
	"io/fs"
	"syscall"
	"time"
)

func versionOf(info fs.FileInfo) version {
	stat := info.Sys().(*syscall.Stat_t)
	return version{uint64(stat.Dev), stat.Ino, time.Unix(stat.Ctimespec.Unix())}
}
