// Command kubectl-interlock is the plugin behind `kubectl interlock`: what Interlock knows and decides, for people and for
// their pipelines.
//
// Each command has a file of its own: it reads objects from files or the cluster, calls the same libraries as the
// controllers, and prints. Nothing is decided here. Whatever it prints goes through OneLine, since anybody may have
// written it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, clock.RealClock{})
	stop()
	os.Exit(code)
}

// maxError is enough for the longest error that says something.
const maxError = 4096

// run runs the command that args name and returns the exit code.
func run(ctx context.Context, args []string, streams genericiooptions.IOStreams, c clock.PassiveClock) int {
	log.SetLogger(logr.Discard()) // else the client says after a while that it has none
	root := newCommand(&cluster{IOStreams: streams, PassiveClock: c, ConfigFlags: genericclioptions.NewConfigFlags(true)})
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if code := exitCode(0); errors.As(err, &code) {
		return int(code)
	}
	if err != nil {
		fmt.Fprintln(streams.ErrOut, "error:", decision.OneLine(err.Error(), maxError))
		return 1
	}
	return 0
}

// exitCode ends a command that has printed all that there is to say.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func newCommand(c *cluster) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-interlock",
		Short: "Look into Interlock, which holds AI models until their safeguards are in place",
		Annotations: map[string]string{
			cobra.CommandDisplayNameAnnotation: "kubectl interlock",
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(c.In)
	root.SetOut(c.Out)
	root.SetErr(c.ErrOut)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	})
	c.AddFlags(root.PersistentFlags())
	root.AddCommand(newApprove(c), newCalendar(c), newCheck(c), newDiff(c), newExplain(c), newNewLogKey(c), newVerifyLog(c))
	return root
}

// cluster is what a command works with: a cluster that it may reach, streams, and the time.
type cluster struct {
	genericiooptions.IOStreams
	clock.PassiveClock
	*genericclioptions.ConfigFlags
}

// here gives a client of the API server, and the namespace that a command is about.
func (c *cluster) here() (client.Client, string, error) {
	namespace, _, err := c.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, "", fmt.Errorf("find the namespace: %w", err)
	}
	connected, err := c.connect()
	return connected, namespace, err
}

// connect gives a client of the API server that knows our kinds.
func (c *cluster) connect() (client.Client, error) {
	scheme := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return c.connectWith(scheme)
}

// connectWith gives a client of the API server, as the flags and the kubeconfig say.
func (c *cluster) connectWith(scheme *runtime.Scheme) (client.Client, error) {
	config, err := c.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	config.WarningHandler = rest.NewWarningWriter(c.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	return client.New(config, client.Options{Scheme: scheme})
}
