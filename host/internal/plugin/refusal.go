package plugin

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ConfigError says that a plugin did not take the configuration that Train gave it, which its schema allows.
type ConfigError struct{ Reason string }

func (e *ConfigError) Error() string { return "the plugin did not take the configuration: " + e.Reason }

// ExplainTrain is Explain for a call to Train.
func (p *Plugin) ExplainTrain(err error) error {
	// Once the plugin has called the host, this code may be the host's own answer, passed on.
	if status.Code(err) == codes.InvalidArgument && !p.called.any.Load() {
		return &ConfigError{Reason: status.Convert(err).Message()}
	}
	return p.Explain(err)
}

// calls notes whether a plugin has called a service of the host.
type calls struct{ any atomic.Bool }

func (c *calls) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			c.any.Store(true)
			return handle(ctx, request)
		}),
		grpc.StreamInterceptor(func(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			c.any.Store(true)
			return handle(service, stream)
		}),
	}
}
