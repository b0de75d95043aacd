package modalfake

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/mtt-project/mtt/host/internal/modalfake/newer"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// app is a deployed app, which is what looking one up by its name makes.
type app struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Environment string    `json:"environment"`
	Created     time.Time `json:"created"`
	Stopped     time.Time `json:"stopped,omitzero"` // its name is free again
}

func (a *app) state() pb.AppState {
	if a.Stopped.IsZero() {
		return pb.AppState_APP_STATE_DEPLOYED
	}
	return pb.AppState_APP_STATE_STOPPED
}

func (a *app) lifecycle() *newer.AppLifecycle {
	l := &newer.AppLifecycle{State: a.state(), CreatedAt: a.Created, CreatedBy: person, StoppedAt: a.Stopped}
	if !a.Stopped.IsZero() {
		l.StoppedBy = person
	}
	return l
}

// app returns the record of that id. The caller holds mu.
func (s *Server) app(id string) (*app, error) {
	if a := s.apps.Get(id); a != nil {
		return a, nil
	}
	return nil, notFound("App '%s' not found", id)
}

// deployed returns the app that has the name now; nil if none has. The caller holds mu.
func (s *Server) deployed(name, env string) *app {
	return s.apps.Find(func(a *app) bool { return a.Name == name && a.Environment == env && a.Stopped.IsZero() })
}

func (s service) AppGetOrCreate(_ context.Context, r *pb.AppGetOrCreateRequest) (*pb.AppGetOrCreateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, env := r.GetAppName(), environment(r.GetEnvironmentName())
	a := s.deployed(name, env)
	do, err := decide(r.GetObjectCreationType(), a != nil, "App", name)
	if err != nil {
		return nil, err
	}
	if do.make {
		a = &app{ID: newID("ap"), Name: name, Environment: env, Created: time.Now()}
		if err := s.apps.Put(a.ID, a); err != nil {
			return nil, err
		}
	}
	return pb.AppGetOrCreateResponse_builder{AppId: a.ID}.Build(), nil
}

func (s service) AppGetByDeploymentName(_ context.Context, r *pb.AppGetByDeploymentNameRequest) (*pb.AppGetByDeploymentNameResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	env := environment(r.GetEnvironmentName())
	response, previous := &pb.AppGetByDeploymentNameResponse{}, ""
	var lifecycle *newer.AppLifecycle
	if a := s.deployed(r.GetName(), env); a != nil {
		response.SetAppId(a.ID)
		lifecycle = a.lifecycle()
	} else {
		var last *app
		for _, a := range s.apps.All() {
			if a.Name == r.GetName() && a.Environment == env && (last == nil || a.Stopped.After(last.Stopped)) {
				last = a
			}
		}
		if last != nil {
			previous, lifecycle = last.ID, last.lifecycle()
		}
	}
	newer.AddToAppByName(response, previous, env, lifecycle)
	return response, nil
}

func (s service) appGetLifecycle(_ context.Context, request proto.Message) (proto.Message, error) {
	id, err := newer.AppID(request)
	if err != nil {
		return nil, invalid("%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.app(id)
	if err != nil {
		return nil, err
	}
	return a.lifecycle().Answer(), nil
}

func (s service) AppList(_ context.Context, r *pb.AppListRequest) (*pb.AppListResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	env := environment(r.GetEnvironmentName())
	var items []*pb.AppListResponse_AppListItem
	for _, a := range s.apps.All() {
		if a.Environment != env {
			continue
		}
		items = append(items, pb.AppListResponse_AppListItem_builder{
			AppId: a.ID, Description: a.Name, Name: a.Name, State: a.state(),
			CreatedAt: seconds(a.Created), StoppedAt: seconds(a.Stopped),
			NRunningTasks: int32(len(s.runningOf(a.ID))),
		}.Build())
	}
	return pb.AppListResponse_builder{Apps: items}.Build(), nil
}

// AppStop ends the app's Sandboxes and frees its name. The answer does not wait for them to end.
func (s service) AppStop(_ context.Context, r *pb.AppStopRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.app(r.GetAppId())
	if err != nil {
		return nil, err
	}
	if !a.Stopped.IsZero() {
		return &emptypb.Empty{}, nil
	}
	a.Stopped = time.Now()
	for _, run := range s.runningOf(a.ID) {
		run.end(terminated)
	}
	s.logOf(a.ID).changed()
	return &emptypb.Empty{}, s.apps.Put(a.ID, a)
}

func (s service) TaskList(_ context.Context, r *pb.TaskListRequest) (*pb.TaskListResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var tasks []*pb.TaskStats
	for _, a := range s.apps.All() {
		if !fits(a.ID, newer.TaskListApp(r)) || a.Environment != environment(r.GetEnvironmentName()) {
			continue
		}
		for _, run := range s.runningOf(a.ID) {
			tasks = append(tasks, pb.TaskStats_builder{TaskId: run.record.TaskID, AppId: a.ID, AppDescription: a.Name, StartedAt: seconds(run.record.Started)}.Build())
		}
	}
	return pb.TaskListResponse_builder{Tasks: tasks}.Build(), nil
}
