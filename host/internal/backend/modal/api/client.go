// Package api makes Modal's calls, one function a call, in types of its own. It is the only importer of modal-go and of its
// generated messages: Modal does not call its protocol public, so what changes there is changed in one place.
//
// Every call is repeated until it succeeds or fails for good; see Client.do. What Modal refuses is a *Refusal, which callers
// tell apart with errors.Is; every other error is final and has an exit code.
package api

import (
	"context"
	"sync"
	"time"

	modal "github.com/modal-labs/libmodal/modal-go"
	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// Options say how a client connects, and how it waits.
type Options struct {
	Environment string // "": the one that MODAL_ENVIRONMENT or the profile names
	// Patience bounds how long one call waits while it meets limits of Modal's; 0: it waits until it is let through.
	Patience time.Duration
	// Say is told what takes a while; nil: nobody is told.
	Say func(text string)
	// Notices tell what calls wait for, for all clients that are to say it once; nil: this client has its own, told to Say.
	Notices *Notices
}

// Client is a connection to Modal, with the credentials that Modal's own tools have: MODAL_TOKEN_ID and
// MODAL_TOKEN_SECRET, or a profile of ~/.modal.toml or MODAL_CONFIG_PATH. It may be used from several goroutines.
type Client struct {
	options  Options
	notices  *Notices
	renewing chan struct{} // holds one token while a connection is made

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

// Connect connects to Modal. exit.Credentials: there are none, or they are refused; exit.Unavailable: Modal cannot be
// reached.
func Connect(ctx context.Context, options Options) (*Client, error) {
	c := &Client{options: options, notices: options.Notices, renewing: make(chan struct{}, 1)}
	if c.notices == nil {
		c.notices = NewNotices(options.Say)
	}
	first, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	c.current = first
	return c, nil
}

// say tells the user, if anybody is to be told.
func (c *Client) say(text string) {
	if c.options.Say != nil {
		c.options.Say(text)
	}
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
	select {
	case c.renewing <- struct{}{}:
		defer func() { <-c.renewing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if c.connection() != refused {
		return nil
	}
	fresh, err := c.connect(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.current = fresh
	c.mu.Unlock()
	refused.sdk.Close()
	return nil
}
