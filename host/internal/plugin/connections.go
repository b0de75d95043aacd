package plugin

import (
	"context"
	"errors"
	"net"
	"sync"
)

// connections are those between this host and one plugin, in both directions. They end with the plugin's process: a
// child of it that has inherited its sockets would hold them open, and every call on them would wait for that child.
type connections struct {
	mu    sync.Mutex
	open  map[net.Conn]struct{}
	ended bool
}

var errEnded = errors.New("the plugin has ended")

// end ends the connections, and every later one. What the plugin had sent is still read (on Linux; other systems may drop
// it), and behind it comes the end.
func (c *connections) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for connection := range c.open {
		if half, ok := connection.(interface{ CloseRead() error }); !ok || half.CloseRead() != nil {
			connection.Close()
		}
	}
}

func (c *connections) add(connection net.Conn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		connection.Close()
		return nil, errEnded
	}
	if c.open == nil {
		c.open = map[net.Conn]struct{}{}
	}
	c.open[connection] = struct{}{}
	return &tracked{connection, c}, nil
}

// dial connects to the plugin.
func (c *connections) dial(ctx context.Context, to net.Addr) (net.Conn, error) {
	connection, err := new(net.Dialer).DialContext(ctx, to.Network(), to.String())
	if err != nil {
		return nil, err
	}
	return c.add(connection)
}

// tracked is a connection that is forgotten when it is closed.
type tracked struct {
	net.Conn
	connections *connections
}

func (t *tracked) Close() error {
	t.connections.mu.Lock()
	delete(t.connections.open, t.Conn)
	t.connections.mu.Unlock()
	return t.Conn.Close()
}

// listener accepts connections of the plugin.
type listener struct {
	net.Listener
	connections *connections
}

func (l listener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.connections.add(connection)
}
