package doctor

import "golang.org/x/sys/unix"

// network are the file systems, by their magic numbers in statfs(2), whose locks and fsyncs depend on a server.
var network = map[int64]string{
	unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", unix.SMB2_SUPER_MAGIC: "SMB", unix.CIFS_SUPER_MAGIC: "CIFS",
	unix.CEPH_SUPER_MAGIC: "Ceph", unix.V9FS_MAGIC: "9p", unix.FUSE_SUPER_MAGIC: "FUSE", 0x0BD00BD0: "Lustre",
}

// networkFileSystem names the file system if it is on another machine, or may be.
func networkFileSystem(stat *unix.Statfs_t) string { return network[int64(stat.Type)] }
