// Package api makes Modal's calls, one function a call, in types of its own. It is the only importer of modal-go and of its
// generated messages: Modal does not call its protocol public, so what changes there is changed in one place.
//
// Every call is repeated until it succeeds or fails for good; see Client.do. What Modal refuses is a *Refusal, which callers
// tell apart with errors.Is; every other error is final and has an exit code.
package api

import (
	"context"
	"sync"

	modal "github.com/modal-labs/libmodal/modal-go"
	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// Client is a connection to Modal, with the credentials that Modal's own tools have: MODAL_TOKEN_ID and
// MODAL_TOKEN_SECRET, or a profile of ~/.modal.toml or MODAL_CONFIG_PATH. It may be used from several goroutines.
type Client struct {
	environment string // "" for the profile's

	mu      sync.Mutex
	current *connection
}

// connection is one of modal-go's clients. Since modal-go does not renew an auth token that is refused, a Client that
// meets that takes another one.
type connection struct {
	sdk *modal.Client
	raw pb.ModalClientClient
	// tokenID and tokenSecret are what modal-go has found, for a supervisor to have too.
	tokenID, tokenSecret string
}

// Connect connects to Modal, in the environment of that name, or the one that MODAL_ENVIRONMENT or the profile names. exit.Credentials: there are none, or they are refused; exit.Unavailable: Modal cannot be reached.
func Connect(ctx context.Context, environment string) (*Client, error) {
	first, err := connect(ctx, environment)
	if err != nil {
		return nil, err
	}
	return &Client{environment: environment, current: first}, nil
}

// Close ends the connection.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current.sdk.Close()
	return nil
}

// Credentials returns the token that the connection was made with.
func (c *Client) Credentials() (tokenID, tokenSecret string) {
	on := c.connection()
	return on.tokenID, on.tokenSecret
}

func (c *Client) connection() *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// renew replaces a connection whose auth token was refused, unless another goroutine has already.
func (c *Client) renew(ctx context.Context, refused *connection) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != refused {
		return nil
	}
	fresh, err := connect(ctx, c.environment)
	if err != nil {
		return err
	}
	refused.sdk.Close()
	c.current = fresh
	return nil
}
