package sandbox

import "testing"

func TestOnlyWholePathsAreRewritten(t *testing.T) {
	mounts := []Mount{{Path: "/outputs", Source: "/copy/1"}, {Path: "/mnt/data", Source: "/copy/2"}}
	for text, want := range map[string]string{
		"/outputs":                           "/copy/1",
		"/outputs/runs":                      "/copy/1/runs",
		"--outputs=/outputs --in=/mnt/data/": "--outputs=/copy/1 --in=/copy/2/",
		"PATH=/outputs/bin:/outputs":         "PATH=/copy/1/bin:/copy/1",
		`{"dir":"/outputs"}`:                 `{"dir":"/copy/1"}`,
		"/outputs2 /outputs.old /outputs-":   "/outputs2 /outputs.old /outputs-",
		"/my/outputs ./outputs":              "/my/outputs ./outputs",
		"nothing":                            "nothing",
		"":                                   "",
	} {
		if got := rewrite(text, mounts); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestOutputIsNotCutWithinACharacter(t *testing.T) {
	for text, want := range map[string]int{"abc": 3, "ü": 2, "aü"[:2]: 1, "€"[:2]: 0, "a\xff": 2, "\x80\x80\x80\x80": 4, "": 0} {
		if got := wholeRunes([]byte(text)); got != want {
			t.Errorf("of %q, %d bytes are whole, want %d", text, got, want)
		}
	}
}

func TestMountsInEachOthersWayAreRefused(t *testing.T) {
	for _, paths := range [][]string{{"/"}, {"outputs"}, {"/a/../b"}, {"/a", "/a"}, {"/a", "/a/b"}, {"/a/b", "/a"}, {"/a/"}} {
		var mounts []Mount
		for _, path := range paths {
			mounts = append(mounts, Mount{Path: path})
		}
		if Check(mounts) == nil {
			t.Errorf("mounts at %q are accepted", paths)
		}
	}
	if err := Check([]Mount{{Path: "/a"}, {Path: "/ab"}, {Path: "/mnt/a"}}); err != nil {
		t.Error(err)
	}
}
