// Package datadir gives a data directory one owner. The process that owns it
// may open its ledger, migrate it and serve on its socket; every other process
// talks to the owner. The lock is the operating system's, so that a process
// that was killed leaves nothing to clean up.
//
// The directory holds: format (which version wrote it), lock (the owner's
// process id and socket), admin.token, thymus.sock and the ledger's files.
package datadir

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"thymus/internal/fault"
)

// Format is the version of the directory's layout. The ledger's file has a
// version of its own and migrates itself.
const Format = 1

const (
	lockName   = "lock"
	formatName = "format"
	formatText = "thymus data directory, format "
	socketName = "thymus.sock"
	tokenName  = "admin.token"

	// maxSocket is the longest path that every Unix can bind: sun_path holds
	// 104 bytes on BSD and macOS and 108 on Linux, with a closing NUL.
	maxSocket = 100
)

// errLocked tells that another process holds the lock.
var errLocked = errors.New("locked")

// Owner is the hold on a data directory, until Close.
type Owner struct {
	dir    string
	socket string
	once   sync.Once
	lock   *os.File
	err    error
}

// Own makes dir (mode 0700) when there is none, and takes hold of it. It fails
// with fault.Unavailable, naming the process, when another one owns it; and
// with fault.Conflict when another version or program wrote it.
func Own(dir string) (*Owner, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "data directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.New(fault.Unavailable, "data directory: %w", err)
	}
	// Before anything is written: a wrong directory stays as it is.
	if err := checkFormat(dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "data directory: %w", err)
	}
	o := &Owner{dir: dir, lock: lock}
	if err := tryLock(lock); err != nil {
		_ = lock.Close() // nothing was written
		if !errors.Is(err, errLocked) {
			return nil, fault.New(fault.Unavailable, "lock of data directory %s: %w", dir, err)
		}
		who := "another process"
		if pid, _ := readLock(dir); pid > 0 {
			who = fmt.Sprintf("process %d", pid)
		}
		return nil, fault.New(fault.Unavailable, "data directory %s is in use by %s; stop it, or send the command to it", dir, who)
	}
	if err := o.take(); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// take does what the lock allows: it looks at the format again, since the
// former owner may have been a newer version, and says who owns the directory.
func (o *Owner) take() error {
	if err := checkFormat(o.dir); err != nil {
		return err
	}
	if err := writeFormat(o.dir); err != nil {
		return fault.New(fault.Unavailable, "format of data directory %s: %w", o.dir, err)
	}
	socket, err := socketPath(o.dir)
	if err != nil {
		return err
	}
	o.socket = socket
	if err := o.lock.Truncate(0); err != nil {
		return fault.New(fault.Unavailable, "lock of data directory %s: %w", o.dir, err)
	}
	if _, err := o.lock.WriteAt(fmt.Appendf(nil, "%d\n%s\n", os.Getpid(), socket), 0); err != nil {
		return fault.New(fault.Unavailable, "lock of data directory %s: %w", o.dir, err)
	}
	return nil
}

// Dir returns the directory's absolute path.
func (o *Owner) Dir() string { return o.dir }

// SocketPath returns where the owner listens. Its folder exists and is the
// owner's alone.
func (o *Owner) SocketPath() string { return o.socket }

// AdminTokenPath returns where the owner keeps the administrator's token.
func (o *Owner) AdminTokenPath() string { return AdminTokenPath(o.dir) }

// Close lets go of the directory. Closing again does nothing. The lock's file
// stays: were it removed, a process that had opened it could own another file.
func (o *Owner) Close() error {
	o.once.Do(func() { o.err = errors.Join(o.lock.Truncate(0), o.lock.Close()) })
	return o.err
}

// AdminTokenPath returns where the owner of dir keeps the administrator's token.
func AdminTokenPath(dir string) string { return filepath.Join(dir, tokenName) }

// SocketPath returns where the owner of dir listens: what the owner wrote
// down, since its environment may differ from ours; else where one would listen.
func SocketPath(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fault.New(fault.Unavailable, "data directory: %w", err)
	}
	if _, socket := readLock(dir); socket != "" {
		return socket, nil
	}
	path, _, err := chooseSocket(dir)
	return path, err
}

// socketPath chooses the socket and makes its folder where that is not dir.
func socketPath(dir string) (string, error) {
	path, private, err := chooseSocket(dir)
	if err != nil || private == "" {
		return path, err
	}
	if err := os.Mkdir(private, 0o700); err != nil && !os.IsExist(err) {
		return "", fault.New(fault.Unavailable, "folder of the socket: %w", err)
	}
	if err := checkPrivate(private); err != nil {
		return "", fault.New(fault.Unavailable, "folder of the socket: %w", err)
	}
	return path, nil
}

// chooseSocket returns a path short enough to bind, and the folder to make for
// it when it does not lie in dir.
func chooseSocket(dir string) (path, private string, err error) {
	if path = filepath.Join(dir, socketName); len(path) <= maxSocket {
		return path, "", nil
	}
	sum := sha256.Sum256([]byte(dir))
	for _, base := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"} {
		private = filepath.Join(base, fmt.Sprintf("thymus-%d", os.Getuid()))
		path = filepath.Join(private, hex.EncodeToString(sum[:8])+".sock")
		if filepath.IsAbs(base) && len(path) <= maxSocket {
			return path, private, nil
		}
	}
	return "", "", fault.New(fault.Unavailable, "the path of data directory %s is too long for a socket, and so is that of the temporary directory", dir)
}

// readLock returns what the owner wrote down; zeros when nothing can be read.
// It is a help for people and clients: the lock itself decides.
func readLock(dir string) (pid int, socket string) {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return 0, ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return 0, ""
	}
	first, rest, _ := strings.Cut(string(b), "\n")
	if pid, err = strconv.Atoi(first); err != nil || pid <= 0 {
		return 0, ""
	}
	socket, complete := strings.CutSuffix(rest, "\n")
	if !complete {
		return pid, ""
	}
	return pid, socket
}

// checkFormat accepts a directory of this version, and an empty one.
func checkFormat(dir string) error {
	b, err := os.ReadFile(filepath.Join(dir, formatName))
	if os.IsNotExist(err) {
		return checkEmpty(dir)
	}
	if err != nil {
		return fault.New(fault.Unavailable, "data directory: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(b), formatText)))
	switch {
	case err != nil || !strings.HasPrefix(string(b), formatText):
		return fault.New(fault.Conflict, "%s is no data directory of Thymus: its file %q says something else; choose another directory", dir, formatName)
	case n > Format:
		return fault.New(fault.Conflict, "data directory %s has format %d, and this version of Thymus knows %d; start the newer version again, or restore a backup", dir, n, Format)
	case n < Format:
		return fault.New(fault.Conflict, "data directory %s has format %d, which this version of Thymus does not read (it knows %d); start it once with the version between", dir, n, Format)
	}
	return nil
}

// checkEmpty refuses a directory that holds other things: it was given by mistake.
func checkEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fault.New(fault.Unavailable, "data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == formatName { // another process has just begun; the lock decides
			return nil
		}
	}
	for _, e := range entries {
		// A volume's own folder, and what an earlier first start left.
		switch e.Name() {
		case lockName, formatName + ".part", "lost+found":
		default:
			return fault.New(fault.Conflict, "%s is no data directory of Thymus, and it is not empty (%s); choose another directory", dir, e.Name())
		}
	}
	return nil
}

// writeFormat marks a new directory; the mark is whole or absent.
func writeFormat(dir string) error {
	path := filepath.Join(dir, formatName)
	if _, err := os.Stat(path); err == nil || !os.IsNotExist(err) {
		return err
	}
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s%d\n", formatText, Format)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
