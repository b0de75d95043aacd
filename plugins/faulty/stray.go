package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"google.golang.org/grpc"

	experimentv1 "github.com/mtt-project/mtt/proto/mtt/experiment/v1"
)

// A stray is a child process in a session of its own, which outlives the plugin. Its process id is written to the file
// that STRAY names, for the test to end it.

// leaveStray starts a stray that keeps the plugin's descriptors of these kinds, and exits.
func leaveStray(kinds ...string) {
	if err := startStray(kinds...); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(1)
}

func startStray(kinds ...string) error {
	if err := keepDescriptors(kinds); err != nil {
		return err
	}
	child := exec.Command("sleep", "3600")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		return err
	}
	path := os.Getenv("STRAY")
	if err := os.WriteFile(path+".new", []byte(strconv.Itoa(child.Process.Pid)), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

const (
	sockets     = "socket:"
	directories = "/" // the run's own, which is its lock
)

// keepDescriptors has the next child process inherit the descriptors whose names begin so.
func keepDescriptors(kinds []string) error {
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return err
	}
	for _, path := range open {
		name, err := os.Readlink(path)
		if err != nil {
			continue // it was the one that read the directory
		}
		for _, kind := range kinds {
			if !strings.HasPrefix(name, kind) {
				continue
			}
			descriptor, err := strconv.Atoi(filepath.Base(path))
			if err != nil {
				return err
			}
			if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(descriptor), syscall.F_SETFD, 0); errno != 0 {
				return errno
			}
		}
	}
	return nil
}

func leaveStrayInTrain(context.Context, *grpc.ClientConn, *experimentv1.TrainRequest) (*experimentv1.TrainResponse, error) {
	leaveStray(sockets)
	return nil, nil
}

func leaveStrayInMetrics(ctx context.Context, host *grpc.ClientConn, _ *experimentv1.TrainRequest) (*experimentv1.TrainResponse, error) {
	for first := uint64(1); ; first++ {
		if first == 20 {
			go leaveStray(sockets)
		}
		_, err := experimentv1.NewMetricServiceClient(host).LogMetrics(ctx, &experimentv1.LogMetricsRequest{
			First: first, Scalars: []*experimentv1.ScalarPoint{{Tag: "loss", Step: first, Value: 1}},
		})
		if err != nil {
			return nil, err
		}
	}
}

func leaveStrayInSave(ctx context.Context, host *grpc.ClientConn, _ *experimentv1.TrainRequest) (*experimentv1.TrainResponse, error) {
	stream, err := beginSave(ctx, host, manual)
	if err != nil {
		return nil, err
	}
	if err := sendHalfBlob(stream); err != nil {
		return nil, err
	}
	leaveStray(sockets)
	return nil, nil
}

// leaveStrayInLoad saves more than a socket holds, and is killed; the next attempt begins to load it.
func leaveStrayInLoad(ctx context.Context, host *grpc.ClientConn, request *experimentv1.TrainRequest) (*experimentv1.TrainResponse, error) {
	if request.GetResume() == nil {
		if err := saveBlob(ctx, host, 8<<20); err != nil {
			return nil, err
		}
		killSelf()
	}
	stream, err := experimentv1.NewCheckpointServiceClient(host).LoadCheckpoint(ctx, &experimentv1.LoadCheckpointRequest{
		CheckpointId: request.GetResume().GetId(), Blob: "state",
	})
	if err == nil {
		_, err = stream.Recv()
	}
	if err != nil {
		return nil, err
	}
	leaveStray(sockets)
	return nil, nil
}
