//go:build !linux

package doctor

import "golang.org/x/sys/unix"

// networkFileSystem names the file system if it says itself that it is on another machine.
func networkFileSystem(stat *unix.Statfs_t) string {
	name := unix.ByteSliceToString(stat.Fstypename[:])
	switch name {
	case "nfs", "smbfs", "afpfs", "webdav":
		return name
	default:
		return ""
	}
}
